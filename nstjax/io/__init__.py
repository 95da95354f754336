"""Files: pictures, videos, weights, logs, checkpoints, locks.

May import ``presets`` and what is below, and lazily ``weights_convert``, which converts
foreign weights.
"""
