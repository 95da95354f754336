"""The pictures that nstjax brings: a photo, and two style pictures of our own."""

from pathlib import Path

import numpy as np
import skimage.data

from nstjax.io.images import read_image

PICTURES = Path(__file__).parents[1] / "pictures"


def demo_pictures() -> tuple[np.ndarray, np.ndarray]:
    """The demo's cat and its painting, sRGB in 0..1, each [height, width, 3].

    The photo is Chelsea by Stéfan van der Walt (CC0), from ``skimage.data``.
    """
    return read_image(skimage.data.chelsea()), painting()


def painting() -> np.ndarray:
    """Dusk over a valley, in oil, sRGB in 0..1, [512, 640, 3]."""
    return read_image(PICTURES / "painting.jpg")


def stained_glass() -> np.ndarray:
    """A stained-glass window, sRGB in 0..1, [512, 640, 3]."""
    return read_image(PICTURES / "stained_glass.jpg")
