"""A small photo, three paintings and masks of the photo's parts."""

import numpy as np
import reference

HEIGHT, WIDTH = 20, 24


def photo_and_paintings():
    """A photo and three paintings, in the network's units."""
    sizes = ((1, HEIGHT, WIDTH), (2, 22, 18), (3, 16, 26), (4, 22, 18))
    return [np.float32(reference.random_image(*size)) for size in sizes]


def columns(first, last, height=HEIGHT, width=WIDTH):
    """A mask that is 1 in these columns."""
    mask = np.zeros((height, width), np.float32)
    mask[:, first:last] = 1
    return mask


LEFT, RIGHT = columns(0, 12), columns(12, 24)
