"""The networks themselves, and their files.

Imports no other room of ``feedforward``.
"""
