"""From pictures, a network and a preset to targets, a start and a memory plan.

May import ``presets`` and what is below, and touches no disk.
"""
