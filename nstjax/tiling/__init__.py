"""The same loss part by part, for images that are larger than memory.

Imports ``losses`` and what is below, and touches no disk.
"""
