"""The same loss part by part, for images that are larger than memory.

May import ``losses`` and what is below, and touches no disk.
"""
