"""What is compared: content, style, total variation, and their total.

Imports ``network``, ``statistics`` and what is below, and touches no disk.
"""
