"""One run as a person drives it: its request, controls, log, checkpoints and films.

Imports ``feedforward``, ``problem``, ``io`` and what is below.
"""
