"""Many runs at once, and their figures.

Imports no other room of ``analysis``.
"""
