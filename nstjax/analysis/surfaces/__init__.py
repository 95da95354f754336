"""The losses on planes and lines through image space, and their figures.

May import ``analysis.convexity`` and ``analysis.sweeps``.
"""
