"""feedforward/training"""
