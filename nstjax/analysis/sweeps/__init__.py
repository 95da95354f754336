"""analysis/sweeps"""
