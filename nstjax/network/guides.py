"""Guides: a region of the image as the network's layers see it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from nstjax.network.architecture import LAYERS, PoolPadding, check_layers, pooled_size

GuideMode = Literal["simple", "inside", "all"]


def layer_guides(
    mask: np.ndarray,
    layers: Sequence[str],
    mode: GuideMode,
    dilation: int = 0,
    pool_padding: PoolPadding = "valid",
) -> dict[str, np.ndarray]:
    """How far each position of a layer belongs to a region.

    simple: the mean of the mask over the pixels that were pooled into the position
    all: 1 where the position sees any pixel of the region, else 0
    inside: 1 where it sees no pixel outside the region, else 0

    A position sees its receptive field, as far as that lies within the image. For all
    and inside, the region is where the mask is at least 0.5.

    Args:
      mask: [height, width] of the image, 0..1.
      layers: names such as "relu4_2".
      mode: one of the names above.
      dilation: k; every position takes the largest value within k positions of it, in
        rows and columns, or the smallest within -k if k is below 0.
      pool_padding: as in ``nstjax.features``.

    Returns:
      {layer: T}, float32 [h, w] of the layer, 0..1, not normalized.

    Raises:
      InputError: an unknown layer.

    Source:
      Gatys et al. (2017), "Controlling Perceptual Factors in Neural Style Transfer",
      section 4, and its released code, which finds by random probing what a position
      sees and resizes with splines for simple.
    """
    check_layers(layers)
    if mode == "all":
        mask = mask >= 0.5
    elif mode == "inside":
        mask = mask < 0.5
    # SciPy takes a while to import.
    from scipy import ndimage

    guide = mask.astype(np.float32)
    guides = {}
    for name in LAYERS[: max(map(LAYERS.index, layers)) + 1]:
        if name.startswith("conv") and mode != "simple":
            guide = ndimage.maximum_filter(guide, 3, mode="nearest")
        elif name.startswith("pool"):
            guide = _pool(guide, mode, pool_padding)
        if name in layers:
            guides[name] = _dilate(1 - guide if mode == "inside" else guide, dilation)
    return guides


def normalize_guide(guide: np.ndarray) -> np.ndarray | None:
    """A guide under which a Gram matrix does not depend on the region's area.

    T' = T / √mean(T²)

    Args:
      guide: T, [h, w], 0..1.

    Returns:
      T', or None if the region is less than one position: ΣT² < 1.

    Source:
      Gatys et al. (2017), section 4.
    """
    if np.sum(guide**2) < 1:
        return None
    return guide / np.sqrt(np.mean(guide**2))


def _pool(guide: np.ndarray, mode: GuideMode, pool_padding: PoolPadding) -> np.ndarray:
    height, width = (pooled_size(side, pool_padding) for side in guide.shape)
    if pool_padding == "same":
        guide = np.pad(guide, [(0, side % 2) for side in guide.shape], "edge")
    windows = guide[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return windows.mean((1, 3)) if mode == "simple" else windows.max((1, 3))


def _dilate(guide: np.ndarray, dilation: int) -> np.ndarray:
    from scipy import ndimage

    # Beyond the border is what is at the border, which neither grows nor shrinks there.
    size = 2 * abs(dilation) + 1
    if dilation < 0:
        return ndimage.minimum_filter(guide, size, mode="nearest")
    return ndimage.maximum_filter(guide, size, mode="nearest")
