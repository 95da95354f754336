"""What researchers ask of a loss: sweeps, surfaces and convexity.

Imports ``runs`` and what is below.
"""
