"""The demo's pictures: a photo that scikit-image brings and a painting of our own."""

import numpy as np
import skimage.data

from nstjax.io.images import read_image
from nstjax.painting import paint


def demo_pictures() -> tuple[np.ndarray, np.ndarray]:
    """A cat and a painting, sRGB in 0..1, each [height, width, 3].

    The photo is Chelsea by Stéfan van der Walt (CC0), from ``skimage.data``; the
    painting is painted by ``nstjax.painting``.
    """
    return read_image(skimage.data.chelsea()), paint()
