"""What lowers a loss: optimizers, the update of an image, compiled steps, devices.

May import ``losses`` and what is below, and touches no disk.
"""
