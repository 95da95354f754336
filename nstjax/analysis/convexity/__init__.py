"""Whether a loss is convex: curvature and chords.

Imports ``analysis.surfaces``.
"""
