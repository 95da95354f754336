"""Networks that restyle a picture in one pass: their design, training and use.

May import ``problem``, ``io`` and what is below.
"""
