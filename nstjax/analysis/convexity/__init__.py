"""Tests of convexity by chords and by curvature.

Imports no other room of ``analysis``.
"""
