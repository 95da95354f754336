"""VGG as data and pure functions: its layers, guides and random weights.

Imports ``runtime`` and ``images``, and touches no disk.
"""
