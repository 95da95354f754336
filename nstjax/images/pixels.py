"""From a Pillow image of any mode to sRGB floats and opacity.

Colors with an embedded profile go through 8 bits, because LittleCMS does in Pillow;
grey pictures of 16 or 32 bits without one keep their precision.
"""

import io
import logging
from typing import cast

import numpy as np
from PIL import Image, ImageCms, ImageOps

from nstjax.errors import InputError

LOGGER = logging.getLogger("nstjax")

# For the color space of a profile: the mode that Pillow hands to LittleCMS, and the
# modes that may be converted to it without losing colors.
PROFILE_MODES = {
    "RGB ": ("RGB", {"1", "L", "RGB", "RGBX", "YCbCr", "HSV"}),
    "GRAY": ("L", {"1", "L"}),
    "CMYK": ("CMYK", {"CMYK"}),
}


def to_srgb(image: Image.Image, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A picture of any Pillow mode in sRGB: upright, in its profile's colors.

    Gives colors, float32 [height, width, 3], 0..1, and opacity [height, width], 0..1,
    or None; grey values that no range from black to white holds are refused.
    """
    profile = image.info.get("icc_profile")
    try:
        image = ImageOps.exif_transpose(image)
    # Broken EXIF data fail in many ways, and none of them spoils the pixels.
    except Exception as error:
        LOGGER.warning("%s: its EXIF data are broken (%s): ignoring them", name, error)
    if image.mode == "F" or image.mode.startswith("I"):
        grey, alpha = _deep_grey(image, name)
        if not profile:
            return np.repeat(grey[:, :, None], 3, axis=2), alpha
        color = Image.fromarray(to_8_bit(grey))
    else:
        color, alpha = _without_alpha(image)
    rgb = _to_rgb(color, profile, name)
    return np.asarray(rgb, np.float32) / np.float32(255), alpha


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Round 0..1, and what lies beyond, to uint8 0..255."""
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def over_white(color: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Composite colors [height, width, 3] on white, by their opacity or opaque."""
    if alpha is not None:
        color = 1 - (1 - color) * alpha[:, :, None]
    return color.astype(np.float32, copy=False)


def _deep_grey(image: Image.Image, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    # Integers of these modes are 16-bit; floats have no agreed white, so it is the
    # smallest of the usual ones that holds every value.
    whites = (1, 255, 65535) if image.mode == "F" else (65535,)
    white = next((white for white in whites if high <= white), None)
    if white is None or not low >= 0:
        raise InputError(
            f"{name} holds grey values from {low:g} to {high:g}, not 0 to {whites[-1]}:"
            " save it as an 8-bit or 16-bit picture"
        )
    transparent = image.info.get("transparency")
    alpha = None if transparent is None else (values != transparent).astype(np.float32)
    return (values / white).astype(np.float32), alpha


def _without_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    if image.has_transparency_data:
        is_grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if is_grey else "RGBA")
        alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
        return image.convert("L" if is_grey else "RGB"), alpha
    return (image.convert("RGB") if image.mode == "P" else image), None


def _to_rgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    if image.mode == "LAB":
        # CIE L*a*b* says what the colors are; its profile adds nothing.
        return _through(image, ImageCms.createProfile("LAB"))
    if profile:
        try:
            opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode, modes = PROFILE_MODES.get(opened.profile.xcolor_space, ("", set()))
            if image.mode not in modes:
                raise ImageCms.PyCMSError(f"not for {image.mode} pictures")
            return _through(image.convert(mode), opened)
        except (OSError, ImageCms.PyCMSError) as error:
            LOGGER.warning(
                "%s: its color profile cannot be used (%s): taking its colors as sRGB",
                *(name, error),
            )
    return image.convert("RGB")


def _through(
    image: Image.Image, profile: ImageCms.ImageCmsProfile | ImageCms.core.CmsProfile
) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    # It is None only for a picture that is changed in place.
    return cast(Image.Image, converted)
