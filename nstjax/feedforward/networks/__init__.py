"""The networks themselves, and their files.

May import no other room of ``feedforward``.
"""
