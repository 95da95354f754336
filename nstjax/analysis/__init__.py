"""What researchers ask of a loss; may import ``runs`` and what is below.

Its rooms, from the ground up: ``convexity`` (tests of numbers) and ``sweeps`` (many
runs at once), then ``surfaces`` (losses on planes), then ``study`` (a run's loss put
to the tests).
"""
