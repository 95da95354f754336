"""The commands ``nstjax`` and ``nstjax-fast``, and what launches the experiments.

May import every other room.
"""
