"""Every file: pictures, videos, weights, logs, checkpoints.

Imports ``presets`` and what is below, and lazily ``weights_convert``, which converts
foreign weights.
"""
