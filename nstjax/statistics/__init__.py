"""What style is: one file, one statistic of a layer's activation.

May import ``runtime`` and ``images``, and touches no disk.
"""
