"""Tests of convexity by chords and by curvature.

May import no other room of ``analysis``.
"""
