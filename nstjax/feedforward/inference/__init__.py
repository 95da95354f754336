"""feedforward/inference"""
