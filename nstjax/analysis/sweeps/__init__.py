"""Many runs at once, and their figures.

May import ``analysis.figures`` and no room of ``analysis``.
"""
