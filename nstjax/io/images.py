"""Reading and writing pictures: any file that Pillow knows to sRGB floats, and back."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from nstjax.errors import InputError
from nstjax.images.pixels import over_white, to_8_bit, to_srgb
from nstjax.images.resizing import UsedSize
from nstjax.io.atomic import check_writable, write_atomically
from nstjax.io.formats import open_picture
from nstjax.io.paths import StrPath
from nstjax.io.reduction import MAX_PIXELS, decode, reduced_size, reduction_factor
from nstjax.io.stored import check_file

LOGGER = logging.getLogger("nstjax")

# Pillow's limit: four bytes for each can be held while they are decoded. A JPEG, which
# can be decoded smaller, may have more.
MAX_STORED_PIXELS = 178_956_970
MAX_JPEG_PIXELS = 200_000_000
MIN_SIDE = 16

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
FORMATS |= {".tif": "TIFF", ".tiff": "TIFF"}

# Pillow also counts the frames of formats where they are no animation: the previews of
# a phone's JPEG (MPO), the layers of a PSD.
FRAMES = dict.fromkeys(
    ("AVIF", "GIF", "PNG", "WEBP"), "%s is animated: using the first of its %d frames"
) | {"TIFF": "%s has several pages: using the first of its %d"}

ImageSource = StrPath | Image.Image | ArrayLike


class NoPictureError(InputError):
    """A file that holds no picture of any format that is known."""


def read_image(source: ImageSource, used_size: UsedSize | None = None) -> np.ndarray:
    """Read a picture as sRGB.

    The EXIF orientation is applied, an embedded color profile is converted to sRGB,
    transparency is composited on white, and of an animation the first frame is used.
    Pictures with 16 bits per channel keep their precision when they are grey and have
    no color profile; Pillow reads 16-bit color as 8-bit.

    Args:
      source: a file, a Pillow image, or an array [height, width] or
        [height, width, 1, 3 or 4] of sRGB values: uint8 0..255, uint16 0..65535
        or float 0..1. A fourth channel is opacity.
      used_size: (height, width) -> (height, width) that the picture will be resized
        to; of more than 25 million pixels only as many are decoded as that needs.

    Returns:
      float32 [height, width, 3], 0..1.

    Raises:
      InputError: the source is not a picture that can be read whole, or it has fewer
        than 16 pixels on a side or more than 100 million in all that are needed.
    """
    return over_white(*read_colors(source, used_size))


def read_colors(
    source: ImageSource, used_size: UsedSize | None = None, *, average: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """``read_image`` with the opacity [height, width] apart, None where all is opaque.

    What is decoded smaller has the averages of its pixels, or some of them.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        with _opened(name) as image:
            color, alpha = _from_pillow(image, name, used_size, average)
    elif isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or "the picture"
        with _one_line_errors(name):
            color, alpha = _from_pillow(source, name, used_size, average)
    else:
        color, alpha = _from_array(np.asarray(source))
    return color, None if alpha is None or alpha.min() == 1 else alpha


def write_image(
    path: StrPath, image: ArrayLike, quality: int = 95, alpha: ArrayLike | None = None
) -> None:
    """Write an sRGB picture with 8 bits per channel, whole or not at all.

    Args:
      path: where to; the suffix chooses PNG, JPEG, WebP or TIFF.
      image: [height, width, 3], 0..1; what lies outside is clipped.
      quality: 1..100, for JPEG and WebP only. From 90 on, a JPEG keeps its colors at
        full resolution (4:4:4).
      alpha: opacity [height, width], 0..1, or None; a JPEG has none.

    Raises:
      InputError: the path or the quality will not do, the image is not finite, or
        the file cannot be written (a full disk, say); an old file is kept.
    """
    check_output(path)
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise InputError(
            f"{path} is not written: the image has shape {pixels.shape}, expected "
            "[height, width, 3]"
        )
    if not np.isfinite(pixels).all():
        raise InputError(
            f"{path} is not written: the image holds NaN or infinity, expected values "
            "from 0 to 1"
        )
    if not 1 <= quality <= 100:
        raise InputError(f"quality {quality} is out of range: give 1 to 100")
    format_name = FORMATS[Path(path).suffix.lower()]
    options: dict[str, Any] = {}
    if format_name in ("JPEG", "WEBP"):
        options["quality"] = quality
    if format_name == "JPEG":
        options["subsampling"] = "4:4:4" if quality >= 90 else "4:2:0"
    picture = Image.fromarray(to_8_bit(pixels))
    if alpha is not None:
        check_transparent(path)
        picture.putalpha(Image.fromarray(to_8_bit(np.asarray(alpha, np.float32))))
    # Encoding straight to the file would miss a full disk: Pillow does not notice when
    # the disk takes only a part of the last block of a JPEG or TIFF.
    encoded = io.BytesIO()
    try:
        picture.save(encoded, format_name, **options)
        write_atomically(path, encoded.getbuffer())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be written as {format_name} ({_reason(error)}): "
            "free space there, or choose another folder or format"
        ) from error


def check_output(path: StrPath) -> None:
    """Check that a picture can be written, before the work that makes it."""
    if Path(path).suffix.lower() not in FORMATS and not Path(path).is_dir():
        raise InputError(
            f"{path} has no suffix of a picture format that can be written: "
            f"end it with one of {' '.join(FORMATS)}"
        )
    check_writable(path)


def check_transparent(path: StrPath) -> None:
    """Raise ``InputError`` if a picture of that name cannot be transparent."""
    if FORMATS.get(Path(path).suffix.lower()) == "JPEG":
        raise InputError(
            f"{path} would be a JPEG, which cannot be transparent: end it with .png, "
            ".webp or .tif, or leave --transparency=keep out"
        )


def check_picture(path: StrPath) -> None:
    """Check a picture as far as its header tells; ``NoPictureError`` if it is none."""
    with _opened(os.fspath(path)):
        pass


@contextmanager
def _opened(name: str) -> Iterator[Image.Image]:
    check_file(name, "give the path of one picture")
    try:
        file = open(name, "rb")  # noqa: SIM115 - decoding has errors of its own
    except OSError as error:
        raise InputError(
            f"{name} cannot be opened ({_reason(error)}): check its permissions"
        ) from error
    with file, _one_line_errors(name):
        if not file.peek(1):
            raise InputError(f"{name} is empty: give a picture file")
        with open_picture(file, name) as image:
            _check_size(image.height, image.width, name, MAX_JPEG_PIXELS)
            yield image


def _from_pillow(
    image: Image.Image, name: str, used_size: UsedSize | None, average: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    _check_size(image.height, image.width, name, sys.maxsize)
    factor = reduction_factor(image, used_size)
    width, height = reduced_size(image, factor)
    if width * height > MAX_PIXELS:
        raise _too_large(name, MAX_PIXELS)
    if image.format in FRAMES and getattr(image, "is_animated", False):
        LOGGER.warning(FRAMES[image.format], name, getattr(image, "n_frames", 0))
    return to_srgb(decode(image, factor, average=average), name)


def _from_array(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    is_float = values.dtype.kind == "f"
    if not is_float and values.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the array has dtype {values.dtype}: give uint8, uint16 or float 0 to 1"
        )
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise InputError(
            f"the array has shape {values.shape}: "
            "give [height, width] or [height, width, 1, 3 or 4]"
        )
    height, width, channels = values.shape
    _check_size(height, width, "the array", MAX_PIXELS)
    if is_float and not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"the array holds values from {values.min():g} to {values.max():g}: "
            "give floats from 0 to 1 without NaN"
        )
    scaled = values.astype(np.float32)
    if not is_float:
        scaled /= np.float32(np.iinfo(values.dtype).max)
    if channels == 4:
        return scaled[:, :, :3], scaled[:, :, 3]
    return np.repeat(scaled, 3, axis=2) if channels == 1 else scaled, None


def _check_size(height: int, width: int, name: str, most: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"{name} is {width}×{height} pixels: "
            f"give a picture of at least {MIN_SIDE} on each side"
        )
    if height * width > most:
        raise _too_large(name, most)


def _too_large(name: str, limit: int) -> InputError:
    return InputError(
        f"{name} has more than {limit // 10**6} million pixels: make it smaller"
    )


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    try:
        # Pillow warns of what is refused below and of metadata that nobody needs.
        with warnings.catch_warnings(action="ignore"):
            yield
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(name, MAX_STORED_PIXELS) from None
    except UnidentifiedImageError:
        raise NoPictureError(
            f"{name} is not a picture that can be read: convert it to PNG or JPEG"
        ) from None
    # Broken files make the decoders fail with errors of many types.
    except Exception as error:
        raise InputError(
            f"{name} is damaged or cut short ({_reason(error)}): get a complete copy"
        ) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
