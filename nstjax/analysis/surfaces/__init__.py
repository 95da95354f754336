"""The losses on planes and lines through image space, and their figures.

Imports ``analysis.convexity`` and ``analysis.sweeps``.
"""
