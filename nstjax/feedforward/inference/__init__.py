"""Restyling pictures with a trained network, and exporting it.

May import ``feedforward.networks``.
"""
