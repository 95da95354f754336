"""Regions: read from a map of colors or from grey masks, and paired with paintings."""

import contextlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import ImageColor
from scipy.spatial.distance import cdist

from nstjax.errors import InputError
from nstjax.images import mask_picture
from nstjax.images.color_map import MAX_COLORS, SAME_COLOR, read_color_map, snap
from nstjax.images.resizing import resize

LOGGER = logging.getLogger("nstjax")

# 8-bit RGB: what is white or black.
NEAR_WHITE_OR_BLACK = 8
# Sides that differ by less make a picture neither portrait nor landscape.
ABOUT_SQUARE = 1.05
SMALL_SHARE = 0.01
# What the numbers of a map of two are called.
WHITE_AND_BLACK = {"#ffffff": "1", "#000000": "0"}


class RegionMasks(NamedTuple):
    """The regions of one picture."""

    # "#ff0000", ... of a map of colors; "0", "1", ... of a map of numbers; "1", "2",
    # ... of grey masks.
    names: tuple[str, ...]
    masks: np.ndarray  # memberships, float32 [regions, height, width], 0..1


class MaskedRegion(NamedTuple):
    """A region of the photo and the paintings that serve it."""

    name: str  # as in the photo's RegionMasks
    content_mask: np.ndarray  # [height, width], 0..1
    # (index, mask [height', width']) of one painting or more; mask None: all of it.
    styles: tuple[tuple[int, np.ndarray | None], ...]


def regions_from_map(
    image: np.ndarray, name: str, alpha: np.ndarray | None = None
) -> RegionMasks:
    """The regions of a map with one color for each, the brightest first.

    JPEG's noise, soft edges and resizing are put up with, see
    ``nstjax.images.color_map``. A map of two colors may be soft, more are not. Where
    nothing is painted is a region, too. A map may hold numbers in place of colors: 0
    and 1 are black and white, more are named by themselves, the lowest first.

    The picture is sRGB [height, width, 3] in 0..1, with its opacity [height, width] in
    0..1 or None; what is no map, a photo say, is refused. There are 1 to 16 regions.
    """
    image = mask_picture.painted_map(image, alpha, name)
    advice = f"a mask has {MAX_COLORS} regions at the most"
    labels = mask_picture.labels_of(image, MAX_COLORS, name, advice)
    if labels is not None:
        numbers = np.unique(labels).tolist()
        names = [str(number) for number in numbers]
        if numbers == [0, 1]:
            numbers, names = [1, 0], list(WHITE_AND_BLACK)
        masks = np.array([labels == number for number in numbers], np.float32)
        return RegionMasks(tuple(names), masks)
    found = read_color_map(image)
    if found is None:
        raise InputError(
            f"{name} looks like a photo, not a mask: a mask has an even color for each "
            f"region, {MAX_COLORS} at the most; soft regions can be given as several "
            "grey masks"
        )
    colors, masks = found
    colors = np.where(colors <= NEAR_WHITE_OR_BLACK, 0, colors)
    colors = np.where(colors >= 255 - NEAR_WHITE_OR_BLACK, 255, colors)
    names = ["#{:02x}{:02x}{:02x}".format(*color) for color in colors]
    return RegionMasks(tuple(names), masks)


def regions_from_masks(
    images: Sequence[tuple[np.ndarray, np.ndarray | None]], name: str
) -> RegionMasks:
    """The regions of grey masks, one each: white inside, black outside, soft between.

    Those of another size than the first are resized to it; a mask that is colored or
    all black is refused. Each is a picture, sRGB [height, width, 3] in 0..1, with its
    opacity [height, width] in 0..1 or None.
    """
    height, width, _ = images[0][0].shape
    masks = {}
    for number, (color, alpha) in enumerate(images, start=1):
        which = name if len(images) == 1 else f"{name} {number}"
        painted = mask_picture.painted_mask(color, alpha, which)
        mask = snap(_fitted(painted, height, width, which, "the first"))
        if not mask.any():
            raise InputError(f"{which} is all black: paint its region white")
        masks[str(number)] = mask
    return RegionMasks(tuple(masks), np.stack([*masks.values()]))


def fit_regions(
    regions: RegionMasks, height: int, width: int, name: str
) -> RegionMasks:
    """The regions at their picture's size, antialiased.

    A note is logged if the size differs, if there is a single region, and of regions
    that are hardly there. A mask that is portrait where its picture is landscape is
    refused.
    """
    together = np.moveaxis(regions.masks, 0, -1)
    fitted = _fitted(together, height, width, name, "its picture")
    masks = np.ascontiguousarray(np.moveaxis(fitted, -1, 0))
    if len(masks) == 1 and masks.min() == 1:
        LOGGER.info("%s is the same everywhere: it separates nothing", name)
    for region, share in zip(regions.names, masks.mean(axis=(1, 2)), strict=True):
        if share < SMALL_SHARE:
            percent = 100 * share
            LOGGER.info("%s: region %s is only %.2g %% of it", name, region, percent)
    return RegionMasks(regions.names, masks)


def pair_regions(
    content: RegionMasks,
    styles: Sequence[RegionMasks | None],
    style_regions: Sequence[str] | None = None,
    style_names: Sequence[str] | None = None,
) -> list[MaskedRegion]:
    """Which paintings serve which region of the photo, and with which part of theirs.

    The regions of two maps pair by color, one to one, the nearest first; those of maps
    of numbers by number; where either has grey masks, in order. By default a painting
    serves the regions that its mask has, and without a mask all. But if no painting has
    a mask, and there are as many as regions, two or more, each serves the region in its
    place.

    Args:
      content: the photo's regions.
      styles: each painting's, None for one without a mask.
      style_regions: for each painting "all" or regions joined with "+": a color
        ("#ff0000", "red"), or a number: that of a map of numbers, otherwise from 1 on
        in the photo's order.
      style_names: what messages call the paintings.

    Returns:
      The photo's regions in their order. A region is refused that does not pair, that
      nothing serves, that is unknown or empty.
    """
    if style_regions is not None and len(style_regions) != len(styles):
        raise InputError(
            f"style_regions has {len(style_regions)} entries for {len(styles)} style "
            "images: give one for each"
        )
    style_names = style_names or [f"style image {i + 1}" for i in range(len(styles))]
    _check_not_empty(content, "the photo")
    maskless = all(style is None for style in styles)
    one_each = maskless and len(styles) == len(content.names) > 1
    serving: list[list[tuple[int, np.ndarray | None]]] = [[] for _ in content.names]
    for index, (style, style_name) in enumerate(zip(styles, style_names, strict=True)):
        parts = _match(content, style, style_name)
        chosen = [index] if one_each and style_regions is None else sorted(parts)
        if style_regions is not None and style_regions[index].strip() != "all":
            given = style_regions[index].split("+")
            chosen = sorted({_find_region(content, text) for text in given})
        for region in chosen:
            if region not in parts:
                raise InputError(
                    f"the mask of {style_name} has no region {content.names[region]}: "
                    "paint it there, or give the region to another style image"
                )
            serving[region].append((index, parts[region]))
    idle = [name for name, by in zip(content.names, serving, strict=True) if not by]
    if idle:
        raise InputError(
            f"no style image serves region {', '.join(idle)} of the photo: paint it in "
            "a style's mask, or give it a style image without a mask"
        )
    return list(map(MaskedRegion, content.names, content.masks, map(tuple, serving)))


def describe_regions(
    regions: Sequence[MaskedRegion], style_names: Sequence[str]
) -> str:
    """What was paired, in one line, with the regions' shares of the photo."""
    described = []
    for number, region in enumerate(regions):
        share = f"{region.content_mask.mean() * 100:.0f} %"
        of_what = "" if number else " of the photo"
        served_by = ", ".join(style_names[index] for index, _ in region.styles)
        described.append(f"region {region.name} ({share}{of_what}): {served_by}")
    return "; ".join(described)


def _match(
    content: RegionMasks, style: RegionMasks | None, style_name: str
) -> dict[int, np.ndarray | None]:
    """{region of the photo: the part of the painting for it, None for all of it}."""
    if style is None:
        return dict.fromkeys(range(len(content.names)))
    _check_not_empty(style, style_name)
    if _is_map(content) and _is_map(style):
        distances = cdist(_colors(content.names), _colors(style.names))
    elif "0" in (*content.names, *style.names):
        own, others = (
            np.array([WHITE_AND_BLACK.get(name, name) for name in regions.names])
            for regions in (content, style)
        )
        distances = np.where(own[:, None] == others, 0, np.inf)
    else:
        same = np.eye(len(content.names), len(style.names))
        distances = np.where(same, 0, np.inf)
    near = np.argwhere(distances <= SAME_COLOR).tolist()
    matched: dict[int, int] = {}
    for region, part in sorted(near, key=lambda pair: distances[tuple(pair)]):
        if region not in matched and part not in matched.values():
            matched[region] = part
    if not matched:
        raise InputError(
            f"the mask of {style_name} and the photo's have no region in common: it "
            f"has {', '.join(style.names)}, the photo's {', '.join(content.names)}"
        )
    ignored = [
        name for part, name in enumerate(style.names) if part not in matched.values()
    ]
    if ignored:
        LOGGER.info(
            "the photo's mask has no region %s: ignored in the mask of %s",
            *(", ".join(ignored), style_name),
        )
    return {region: style.masks[part] for region, part in matched.items()}


def _find_region(content: RegionMasks, text: str) -> int:
    """The region of the photo that a number or color means."""
    text, numbers = text.strip(), list(content.names)
    if _is_map(content):
        numbers = [str(number + 1) for number in range(len(content.names))]
    if text in numbers:
        return numbers.index(text)
    # Of a map of numbers or grey masks, a color is none.
    with contextlib.suppress(ValueError):
        distances = cdist(_colors(content.names), _colors([text]))
        if distances.min() <= SAME_COLOR:
            return int(distances.argmin())
    known = [
        name if name == number else f"{number} ({name})"
        for number, name in zip(numbers, content.names, strict=True)
    ]
    raise InputError(f"unknown region {text!r}: the photo's are {', '.join(known)}")


def _fitted(
    masks: np.ndarray, height: int, width: int, name: str, what: str
) -> np.ndarray:
    """Masks [h, w(, regions)] at another size, with a note; on their side: refused."""
    own_height, own_width = masks.shape[:2]
    if (own_height, own_width) != (height, width):
        sizes = f"{name} is {own_width}x{own_height}, {what} {width}x{height}"
        own, other = own_width / own_height, width / height
        if max(min(own, 1 / other), min(1 / own, other)) > ABOUT_SQUARE:
            raise InputError(
                f"{sizes}: one is portrait, the other landscape; turn the mask"
            )
        is_same = abs(own / other - 1) < 0.02
        LOGGER.info("%s: %s", sizes, "resized" if is_same else "stretched")
    return resize(masks, height, width, "bilinear")


def _is_map(regions: RegionMasks) -> bool:
    return regions.names[0].startswith("#")


def _colors(names: Sequence[str]) -> np.ndarray:
    return np.array([ImageColor.getrgb(name)[:3] for name in names])


def _check_not_empty(regions: RegionMasks, picture: str) -> None:
    for name, mask in zip(regions.names, regions.masks, strict=True):
        if not mask.any():
            raise InputError(f"region {name} in the mask of {picture} is empty")
