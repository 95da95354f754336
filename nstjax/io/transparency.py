"""Photos with transparent parts: put on white, or kept transparent to the end."""

import logging
import os
from typing import Literal

import numpy as np

from nstjax.errors import InputError
from nstjax.images.pixels import over_white
from nstjax.images.resizing import UsedSize, resize
from nstjax.io.images import ImageSource, read_colors

Transparency = Literal["flatten", "keep"]

LOGGER = logging.getLogger("nstjax")

# From this opacity on a color is what was painted, and not what an eraser left.
SURE = 0.25


def read_photo(
    source: ImageSource,
    transparency: Transparency = "flatten",
    used_size: UsedSize | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a photo, and the opacity that the result gets; None where all is opaque.

    Transparent parts are put on white, which is said, or kept: then they are filled
    with what is around them, so that they show in no style.
    """
    if transparency == "flatten":
        advice = ": --transparency=keep keeps them transparent"
        return read_on_white(source, used_size, advice), None
    color, alpha = read_colors(source, used_size)
    if alpha is None:
        return color, None
    if alpha.max() == 0:
        raise InputError(
            f"{_name(source)} is transparent everywhere: nothing would be seen of it"
        )
    return fill_holes(color, alpha), alpha


def read_on_white(
    source: ImageSource, used_size: UsedSize | None = None, advice: str = ""
) -> np.ndarray:
    """``nstjax.read_image`` with a note if the picture is transparent, and advice."""
    color, alpha = read_colors(source, used_size)
    if alpha is not None:
        told = "%s is transparent in parts, which are put on white%s"
        LOGGER.info(told, _name(source), advice)
    return over_white(color, alpha)


def fit_alpha(alpha: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """A photo's opacity at the size of a picture that was made of it."""
    if alpha is None:
        return None
    return resize(alpha, image.shape[0], image.shape[1], "bilinear")


def fill_holes(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replace the colors of transparent parts by those of their surroundings.

    A hole takes its color from the picture at half the size, in which it is smaller and
    filled in the same way. Some of the picture must not be transparent.

    Source:
      Gortler et al. (1996), "The Lumigraph", section 3.4.2: pull and push.
    """
    return _filled(color, np.minimum(alpha / SURE, 1)[:, :, None])


def _filled(color: np.ndarray, weight: np.ndarray) -> np.ndarray:
    height, width, _ = weight.shape
    if weight.min() == 1 or max(height, width) == 1:
        return color
    half = (height + 1) // 2, (width + 1) // 2
    weighted = resize(np.dstack([color * weight, weight]), *half, "box")
    half_weight = weighted[:, :, 3:]
    around = _filled(
        weighted[:, :, :3] / np.maximum(half_weight, 1e-6),
        # One pixel of four is enough.
        np.minimum(4 * half_weight, 1),
    )
    return weight * color + (1 - weight) * resize(around, height, width, "bilinear")


def _name(source: ImageSource) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "the picture"
