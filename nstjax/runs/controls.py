"""Masks as somebody gives them, read and paired into controls."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.masks import ImageSource, MaskSource, read_regions
from nstjax.problem.targets import Controls

if TYPE_CHECKING:
    from nstjax.images.regions import MaskedRegion

LOGGER = logging.getLogger("nstjax")


def read_controls(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    style_names: Sequence[str],
    *,
    content_mask: MaskSource | None = None,
    style_masks: ImageSource | Sequence[MaskSource | None] | None = None,
    style_regions: Sequence[str] | None = None,
    region_weights: Sequence[float] | None = None,
    stylize_mask: ImageSource | None = None,
    style_image_layers: Sequence[tuple[str, ...] | None] | None = None,
    style_blend_weights: Sequence[float] | None = None,
) -> Controls:
    """Read the masks and pair the photo's regions with the paintings'.

    Args:
      content: the photo, shape [height, width, 3].
      styles: the paintings, of the same form.
      style_names: what messages call them.
      content_mask: a map with one color for each region, or a list of grey masks.
      style_masks: the same for each painting, None for one without a mask; for a single
        painting a map alone.
      style_regions: which regions each painting is given to, see
        ``nstjax.images.regions.pair_regions``.
      region_weights: one for each region, in the order in which they are named.
      stylize_mask: white where the photo is painted, black where it stays.
      style_image_layers: see ``nstjax.Controls``.
      style_blend_weights: see ``nstjax.Controls``.

    Raises:
      InputError: a mask that cannot be read or paired.
    """
    regions: Sequence[MaskedRegion] = ()
    if content_mask is None:
        needing = {
            "style_mask": style_masks,
            "style_regions": style_regions,
            "region_weights": region_weights,
        }
        for name, given in needing.items():
            if given is not None:
                raise InputError(
                    f"{name} needs content_mask: the regions of the photo that it is "
                    "about"
                )
    else:
        # SciPy takes a while to import.
        from nstjax.images.regions import describe_regions, pair_regions

        masks = listed(style_masks) or [None] * len(styles)
        if len(masks) != len(styles):
            raise InputError(
                f"style_mask has {len(masks)} entries for {len(styles)} style images: "
                "give one for each, and none where an image has no mask"
            )
        own = read_regions(content_mask, content, "content mask")
        others = [
            None if mask is None else read_regions(mask, style, f"style mask of {name}")
            for mask, style, name in zip(masks, styles, style_names, strict=True)
        ]
        regions = pair_regions(own, others, style_regions, style_names)
        LOGGER.info("%s", describe_regions(regions, style_names))
    where = None
    if stylize_mask is not None:
        where = read_regions([stylize_mask], content, "stylize mask").masks[0]
    return Controls(
        regions=regions,
        region_weights=region_weights,
        stylize_mask=where,
        style_image_layers=style_image_layers,
        style_blend_weights=style_blend_weights,
    )


def listed(images: Any) -> Any:
    """A single picture as a list of one."""
    single = isinstance(images, str | os.PathLike | Image.Image | np.ndarray)
    return [images] if single else images
