"""What is compared: content, style, total variation, and their total.

May import ``network``, ``statistics`` and what is below, and touches no disk.
"""
