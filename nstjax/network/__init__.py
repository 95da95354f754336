"""VGG as data and pure functions: its layers, guides and random weights.

May import ``runtime`` and ``images``, and touches no disk.
"""
