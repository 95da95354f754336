"""Is a run's loss convex? The tests put to its surfaces, segments and curvature.

Imports ``analysis.convexity`` and ``analysis.surfaces``.
"""
