"""Sizes of pictures: the rules that people give, and resizing to what they mean."""

import math
import re
from collections.abc import Callable
from typing import Literal, NamedTuple, cast

import numpy as np
from PIL import Image

from nstjax.errors import InputError

Rule = Literal["long", "short", "area", "width", "exact", "original"]
Resample = Literal["lanczos", "bicubic", "bilinear", "box"]
# (height, width) of a picture -> (height, width) that it is used at.
UsedSize = Callable[[int, int], tuple[int, int]]

MAX_SIDE = 20_000


class Size(NamedTuple):
    """A size rule.

    Attributes:
      rule: what ``value`` sets: the ``long`` or ``short`` side, the side of the
        square of the same ``area``, the ``width``, the ``exact`` height and width,
        or nothing (``original``).
      value: pixels; (height, width) for ``exact``, None for ``original``.
    """

    rule: Rule
    value: int | tuple[int, int] | None = None


def parse_size(text: str | int, default_rule: Rule = "long") -> Size:
    """Read a size as people write it.

    >>> parse_size("512")
    Size(rule='long', value=512)
    >>> parse_size("area:300")
    Size(rule='area', value=300)
    >>> parse_size("640x480")
    Size(rule='exact', value=(480, 640))
    >>> parse_size("original")
    Size(rule='original', value=None)

    Args:
      text: ``512``, ``long:512``, ``short:512``, ``area:512``, ``width:512``,
        ``640x480`` (width by height) or ``original``.
      default_rule: the rule of a number alone.

    Returns:
      The rule and its value.

    Raises:
      InputError: anything else, or a side of 0 or above 20000 pixels.
    """
    written = str(text).strip().lower()
    if written == "original":
        return Size("original")
    found = re.fullmatch(
        r"(?:(?:(long|short|area|width):)?|([0-9]{1,9})x)([0-9]{1,9})", written
    )
    if not found:
        raise InputError(
            f"size {text!r} is not understood: give 512, long:512, short:512, "
            "area:512, width:512, 640x480 (width by height) or original"
        )
    rule, width, last = found[1], int(found[2] or found[3]), int(found[3])
    if not 1 <= min(width, last) <= max(width, last) <= MAX_SIDE:
        raise InputError(f"size {text!r} is out of range: give 1 to {MAX_SIDE} pixels")
    if found[2]:
        return Size("exact", (last, width))
    return Size(cast(Rule, rule or default_rule), last)


def check_rule(size: Size) -> None:
    """Refuse a size that ``parse_size`` does not give."""
    counts = {"exact": 2, "original": 0}.get(size.rule, 1)
    value = () if size.value is None else size.value
    sides = value if isinstance(value, tuple) else (value,)
    if len(sides) != counts or not all(1 <= side <= MAX_SIDE for side in sides):
        raise InputError(
            f"size {size.rule} has the value {size.value}: give 1 to {MAX_SIDE} "
            "pixels, height and width for exact, and none for original"
        )


def output_size(height: int, width: int, size: Size) -> tuple[int, int]:
    """(height, width) of a picture under a rule, whole pixels of at least 1.

    >>> output_size(768, 1024, Size("long", 512))
    (384, 512)
    """
    if size.value is None:
        return height, width
    if isinstance(size.value, tuple):
        return size.value
    reference = {
        "long": max(height, width),
        "short": min(height, width),
        "area": math.sqrt(height * width),
        "width": width,
    }[size.rule]
    new_height, new_width = (
        max(1, math.floor(side * size.value / reference + 0.5))
        for side in (height, width)
    )
    return new_height, new_width


def without_enlargement(size: Size, height: int, width: int) -> Size:
    """The same rule where it makes a picture no larger, else the largest that does.

    >>> without_enlargement(Size("long", 512), 48, 64)
    Size(rule='exact', value=(48, 64))
    """
    new_height, new_width = output_size(height, width, size)
    shrink = min(height / new_height, width / new_width)
    if shrink >= 1:
        return size
    fitted = max(1, round(new_height * shrink)), max(1, round(new_width * shrink))
    return Size("exact", fitted)


def resize(
    image: np.ndarray, height: int, width: int, resample: Resample = "lanczos"
) -> np.ndarray:
    """Resize in float precision, antialiased.

    Args:
      image: [h, w] or [h, w, channels], 0..1.
      height: pixels of the result.
      width: pixels of the result.
      resample: the filter.

    Returns:
      float32 [height, width(, channels)] clipped to 0..1; ``image`` itself when it
      already has that size.
    """
    if image.shape[:2] == (height, width):
        return image
    size, method = (width, height), Image.Resampling[resample.upper()]
    channels = np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0)
    resized = [
        np.asarray(Image.fromarray(channel).resize(size, method))
        for channel in np.ascontiguousarray(channels, np.float32)
    ]
    result = np.stack(resized, axis=-1)
    return result.reshape(height, width, *image.shape[2:]).clip(0, 1)
