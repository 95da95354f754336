"""Networks that restyle a picture in one pass: their design, training and use.

Imports ``problem``, ``io`` and what is below.
"""
