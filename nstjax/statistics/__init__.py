"""What style is: one file, one statistic of a layer's activation.

Imports ``runtime`` and ``images``, and touches no disk.
"""
