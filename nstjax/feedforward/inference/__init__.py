"""Restyling pictures with a trained network, and exporting it.

Imports ``feedforward.networks``.
"""
