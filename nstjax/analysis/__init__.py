"""What researchers ask of a loss: sweeps, surfaces, convexity, and their plots."""
