"""Many runs at once, and their figures.

Imports ``analysis.figures`` and no room of ``analysis``.
"""
