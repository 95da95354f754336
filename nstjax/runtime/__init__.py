"""The process that we run in: memory, compilation, signals, processes and devices.

Imports ``nstjax.errors`` and ``nstjax.whole_number`` only.
"""
