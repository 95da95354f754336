"""Arrays of pixels in, arrays of pixels out: sizes, colors, regions, contact sheets.

May import ``nstjax.errors`` only, and touches no disk.
"""
