"""The commands ``nstjax`` and ``nstjax-fast``, and what launches the experiments.

Imports every other room.
"""
