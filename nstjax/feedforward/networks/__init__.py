"""feedforward/networks"""
