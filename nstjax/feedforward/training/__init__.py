"""Training a network on the loss of its pictures.

May import ``feedforward.networks``.
"""
