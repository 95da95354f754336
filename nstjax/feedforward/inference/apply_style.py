"""One style specification on photos in memory: regions, colors, strength and tiles."""

from collections.abc import Sequence

import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference.request import FastRequest
from nstjax.feedforward.inference.restyle import Restyler, Style
from nstjax.feedforward.inference.style_specifications import StyleSpecification
from nstjax.io.masks import read_regions
from nstjax.runtime.progress_bar import ProgressBar

# Above so many pixels a picture is restyled in tiles: 16 channels of them need 270 MB.
TILE_ABOVE = 2048**2
DEFAULT_TILE = 1024


def apply_style(
    request: FastRequest,
    restyler: Restyler,
    photos: Sequence[np.ndarray],
    specification: StyleSpecification,
    masks: Sequence[np.ndarray | None],
) -> list[np.ndarray]:
    """Restyle photos of one bucket, with the regions and colors that are asked for.

    ``masks`` has for each photo where it has each style, [styles, height, width, 1], or
    None for one style everywhere.
    """
    if request.strength == 0:
        # A painting's network would return what its encoder keeps of the photo.
        return list(photos)
    by_style = [
        _with_style(request, restyler, photos, style) for style in specification.styles
    ]
    results = [
        pictures[0] if mask is None else _in_regions(mask, photo, pictures)
        for photo, mask, *pictures in zip(photos, masks, *by_style, strict=True)
    ]
    if request.color == "style":
        return results
    # scikit-image takes a while to import.
    from nstjax.images import color

    space = request.color_space
    return [
        color.with_luminance(photo, color.luminance(result, space), space)
        if request.color == "luminance"
        else color.match_color(result, photo, request.color_match)
        for photo, result in zip(photos, results, strict=True)
    ]


def read_masks(
    request: FastRequest, photo: np.ndarray, styles: int
) -> np.ndarray | None:
    """Where a photo has each style; ``InputError`` for a mask of too few regions."""
    if request.mask is None:
        return None
    regions = read_regions(request.mask, photo, "mask")
    if styles > len(regions.names):
        raise InputError(
            f"{styles} styles for {len(regions.names)} regions of the mask: give a "
            "style for each region, or fewer"
        )
    masks = regions.masks
    if styles < len(masks) and regions.names[0] == "0":
        # Of a map of numbers it is what nobody has marked.
        masks = masks[1:]
    return masks[:styles, :, :, None]


def _with_style(
    request: FastRequest, restyler: Restyler, photos: Sequence[np.ndarray], style: Style
) -> list[np.ndarray]:
    tile, strength = request.tile, request.strength
    if tile is None and photos[0][..., 0].size > TILE_ABOVE:
        tile = DEFAULT_TILE
    if not tile:
        return restyler(photos, style, strength, batch_size=request.batch_size)
    results = []
    for photo in photos:
        with ProgressBar(unit="tile", leave=False, disable=request.quiet) as bar:

            def progress(done: int, total: int, bar: ProgressBar = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            results.append(
                restyler.in_tiles(photo, style, strength, tile=tile, progress=progress)
            )
    return results


def _in_regions(
    masks: np.ndarray, photo: np.ndarray, restyled: Sequence[np.ndarray]
) -> np.ndarray:
    """Each style in its region; the photo in what is left."""
    masks = masks / np.maximum(masks.sum(0), 1)
    return (masks * np.stack(restyled)).sum(0) + (1 - masks.sum(0)) * photo
