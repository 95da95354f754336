"""Masks as somebody gives them, read as regions."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.images import read_colors
from nstjax.io.paths import StrPath

if TYPE_CHECKING:
    from nstjax.images.regions import RegionMasks

ImageSource = StrPath | Image.Image | np.ndarray
# One map of colors, or several grey masks of one region each.
MaskSource = ImageSource | Sequence[ImageSource]


def read_regions(source: MaskSource, picture: np.ndarray, name: str) -> "RegionMasks":
    """The regions of a mask at the size of its picture [height, width, 3]."""
    from nstjax.images import regions as masks

    height, width, _ = picture.shape

    def used_size(*_: int) -> tuple[int, int]:
        # What is twice that or more has the picture's size at least.
        return height // 2, width // 2

    if isinstance(source, str | os.PathLike | Image.Image | np.ndarray):
        color, alpha = read_colors(source, used_size, average=False)
        regions = masks.regions_from_map(color, name, alpha)
    else:
        images = [read_colors(mask, used_size) for mask in source]
        if not images:
            raise InputError(f"{name} is an empty list: give one grey mask or more")
        regions = masks.regions_from_masks(images, name)
    return masks.fit_regions(regions, height, width, name)
