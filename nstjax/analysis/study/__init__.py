"""Is a run's loss convex? The tests put to its surfaces, segments and curvature.

May import ``analysis.convexity`` and ``analysis.surfaces``.
"""
