"""Training a network on the loss of its pictures.

Imports ``feedforward.networks``.
"""
