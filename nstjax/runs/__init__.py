"""One run as a person drives it: its request, log, checkpoints, previews, film.

Imports ``feedforward``, ``problem``, ``io`` and what is below.
"""
