"""A penalty on the grid that upsampling leaves: checkerboards."""

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

    Args:
      image: sRGB in 0..1, [batch, height, width, colors], ``period`` or more pixels on
        each side.
      period: what the network upsamples by.

    Returns:
      [batch], squared levels of 0..255.
    """
    batch, *sides, colors = image.shape
    cells = [min(WINDOW, side) // period for side in sides]
    windows = [
        side // (count * period) for side, count in zip(sides, cells, strict=True)
    ]
    height, width = (
        window * count * period for window, count in zip(windows, cells, strict=True)
    )
    image = 255.0 * crop(image, 0, height, width)
    image = image.reshape(
        batch, windows[0], cells[0], period, windows[1], cells[1], period, colors
    )
    return image.mean((2, 5)).var((2, 4)).mean((1, 2, 3))
