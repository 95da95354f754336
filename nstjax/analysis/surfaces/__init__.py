"""The losses on planes and lines through image space.

Imports ``analysis.sweeps``.
"""
