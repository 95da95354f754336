"""Settings as plain data, and the published ones by name.

May import ``optimization``, ``tiling`` and what is below, and touches no disk.
"""
