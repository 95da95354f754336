"""Decoding: pictures far larger than they are used are made smaller in 8 bits.

Only then do they become floats, which take three times the memory and more.
"""

import contextlib
import itertools
import math
import os
import threading
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from nstjax.images.resizing import UsedSize

# Up to so many pixels a picture is decoded whole, whatever it is used at.
REDUCE_ABOVE = 25_000_000
# What may be held as floats.
MAX_PIXELS = 100_000_000
STRIP = 4_000_000
# Formats whose decoders write to stderr.
TALKATIVE = ("TIFF", "RAW")

_stderr_lock = threading.RLock()


def reduction_factor(image: Image.Image, used_size: UsedSize | None) -> int:
    """The power of two by which a picture can be made smaller when it is decoded.

    What is left is at least twice as large on each side as the upright picture is used,
    so that no detail is lost; just as large where twice would be too much to hold. All
    of it is used where no size is given.
    """
    if used_size is None or image.height * image.width <= REDUCE_ABOVE:
        return 1
    turn = -1 if _is_turned(image) else 1
    used_height, used_width = used_size(*(image.height, image.width)[::turn])[::turn]
    factor = 1
    while True:
        spare = 2 if math.prod(reduced_size(image, factor)) <= MAX_PIXELS else 1
        width, height = reduced_size(image, 2 * factor)
        if width < max(1, spare * used_width) or height < max(1, spare * used_height):
            return factor
        factor *= 2


def reduced_size(image: Image.Image, factor: int) -> tuple[int, int]:
    """(width, height) of a picture that is made smaller by a factor."""
    return -(-image.width // factor), -(-image.height // factor)


def decode(image: Image.Image, factor: int = 1, *, average: bool = True) -> Image.Image:
    """Decode a picture, made smaller by a power of two, as it is stored, maybe turned.

    Of pixels that fall together one is taken, as a mask needs it, or their average.
    """
    width = image.width
    if factor > 1:
        # JPEG and RAW files can be decoded at a fraction of their size.
        image.draft(None, (image.width // factor, image.height // factor))
        factor //= round(width / image.width)
    with _silent_stderr() if image.format in TALKATIVE else contextlib.nullcontext():
        image.load()
    if factor == 1:
        return image
    if not average:
        return image.resize(reduced_size(image, factor), Image.Resampling.NEAREST)
    return _averaged(image, factor)


def _averaged(image: Image.Image, factor: int) -> Image.Image:
    """In strips, so that other forms of the whole picture need not be held."""
    rows = factor * max(1, STRIP // (factor * image.width))
    strips = (
        _averageable(
            image.crop((0, top, image.width, min(top + rows, image.height)))
        ).reduce(factor)
        for top in range(0, image.height, rows)
    )
    first = next(strips)
    result = Image.new(first.mode, reduced_size(image, factor))
    for number, strip in enumerate(itertools.chain([first], strips)):
        result.paste(strip, (0, number * rows // factor))
    result.info = dict(image.info)
    result.info.pop("transparency", None)
    return result


def _averageable(image: Image.Image) -> Image.Image:
    """In a mode whose numbers are levels, with the transparency as a channel."""
    if image.mode.startswith("I"):
        return _deep(image)
    if image.mode in ("La", "LA", "RGBa", "RGBA"):
        return image
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    return image.convert(
        {"1": "L", "P": "RGB", "HSV": "RGB"}.get(image.mode, image.mode)
    )


def _deep(image: Image.Image) -> Image.Image:
    transparent = image.info.get("transparency")
    if transparent is None:
        return image.convert("I")
    values = np.asarray(image)
    alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
    grey = (values >> 8).astype(np.uint8)
    return Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])


def _is_turned(image: Image.Image) -> bool:
    """Whether the upright picture has the sides of the stored one exchanged."""
    # Pillow tells the upright size of a TIFF.
    if image.format == "TIFF":
        return False
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    # Broken EXIF data fail in many ways.
    except Exception:
        return False


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep what a decoder in C writes to stderr, if there is one, from the person."""
    with _stderr_lock, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stderr = os.dup(2)
            stack.callback(os.close, stderr)
            stack.callback(os.dup2, stderr, 2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        yield
