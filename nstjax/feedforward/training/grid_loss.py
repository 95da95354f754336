"""A penalty on the grid that upsampling leaves: checkerboards."""

import math

from jax import Array

from nstjax.feedforward.networks.convolution import crop

WINDOW = 64


def grid_loss(image: Array, period: int) -> Array:
    """How much of each picture repeats every ``period`` pixels along both axes.

    mean over windows, colors, p and q of (m_pq - m)², where m_pq is the mean of a
    window's values in rows p + i·period and columns q + j·period, and m that of all.

    A network that upsamples by ``period`` cannot draw finer strokes at any place: it
    repeats them with its own lattice, which shows where a photo is smooth. Windows of
    64 pixels keep regions from canceling; rows and columns that fill none are left out.
    A photo's own edges count too, the more the longer the period, so that the weight
    should leave this a few percent of the loss.

    The image is sRGB in 0..1, [batch, height, width, colors], with ``period`` or more
    pixels on each side; the loss is of squared levels of 0..255, [batch].
    """
    batch, *sides, colors = image.shape
    cells = [min(WINDOW, side) // period for side in sides]
    axes = [
        (side // (count * period), count, period)
        for side, count in zip(sides, cells, strict=True)
    ]
    image = 255.0 * crop(image, 0, *map(math.prod, axes))
    image = image.reshape(batch, *axes[0], *axes[1], colors)
    return image.mean((2, 5)).var((2, 4)).mean((1, 2, 3))
