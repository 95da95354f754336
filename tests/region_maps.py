"""A photo, two paintings, and masks of their halves as arrays."""

import numpy as np
from problems import picture

PHOTO, PAINTINGS = picture(1, 32, 40), [picture(seed, 36, 30) for seed in (2, 3)]


def halves(height, width, left, right):
    """A map whose left half has one color and whose right half another."""
    colors = np.array([left, right], np.uint8)
    return colors[np.repeat([0, 1], width // 2)][None].repeat(height, axis=0)


RED_BLUE = halves(32, 40, (255, 0, 0), (0, 0, 255))
STYLE_MAP = halves(36, 30, (0, 0, 255), (255, 0, 0))
LEFT, RIGHT = halves(32, 40, (255,) * 3, (0,) * 3), halves(32, 40, (0,) * 3, (255,) * 3)
