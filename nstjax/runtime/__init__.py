"""The process that we run in: memory, compilation, signals, processes and devices.

May import ``nstjax.errors`` and ``nstjax.whole_number`` only.
"""
