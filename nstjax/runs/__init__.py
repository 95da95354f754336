"""One run as a person drives it: its request, log, checkpoints, previews, film.

May import ``feedforward``, ``problem``, ``io`` and what is below.
"""
