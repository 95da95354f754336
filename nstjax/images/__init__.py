"""Arrays of pixels in, arrays of pixels out: sizes, colors, regions, contact sheets.

Imports ``nstjax.errors`` only, and touches no disk.
"""
