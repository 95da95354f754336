"""Neural style transfer in JAX: images become features, features become statistics,
statistics become a loss, and an optimizer lowers it.
"""
