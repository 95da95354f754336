"""Coarse to fine: the scales of a run, and what one hands to the next."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from nstjax.errors import InputError
from nstjax.images.resizing import output_size
from nstjax.network.architecture import check_size, least_side
from nstjax.optimization.transfer import TransferState
from nstjax.presets.preset import Preset
from nstjax.presets.settings import deepest_layer

# A content loss that is a sum over positions has its alpha for this long side.
REFERENCE_SIDE = 512
FACTORS = {"none": None, "sqrt2": math.sqrt(2.0), "2": 2.0}


class Scale(NamedTuple):
    """One size of a run.

    Attributes:
      height: pixels.
      width: pixels.
      first_step: updates that the image has had when the scale begins.
      last_step: the same when it ends.
    """

    height: int
    width: int
    first_step: int
    last_step: int


def plan_scales(content_size: tuple[int, int], preset: Preset) -> tuple[Scale, ...]:
    """The sizes round(end / f^i) whose long side is at least the least, small to large.

    f is √2 or 2; without a pyramid the only scale is the last. The first scale has
    ``preset.steps`` updates, the others those of ``preset.pyramid.steps``.

    Args:
      content_size: (height, width) of the photo.
      preset: whose ``size`` and ``pyramid`` settings hold.

    Returns:
      One scale or more.

    Raises:
      InputError: a scale that leaves nothing of the deepest layer.

    Source:
      style-transfer-pytorch (f = √2, from 128 on); Gatys et al. (2017), section 6.3
      (f = 2, from 512 on).
    """
    size = output_size(*content_size, preset.image.size)
    factor = FACTORS[_kind(content_size, preset)]
    sizes = _sizes(*size, factor, preset.pyramid.min_size)
    layer = deepest_layer(preset)
    check_size(*size, layer, preset.network.pool_padding)
    needed = least_side(layer, preset.network.pool_padding)
    if min(sizes[0]) < needed:
        works = _working_min_size(*size, factor, needed)
        raise InputError(
            f"the pyramid's first scale is too small: {sizes[0][1]}x{sizes[0][0]} "
            f"pixels, of which {layer} needs {needed} at least on each side; give "
            f"pyramid_min_size={works} instead of {preset.pyramid.min_size}"
        )
    scales, step = [], 0
    for index, (scale_height, scale_width) in enumerate(sizes):
        later = preset.pyramid.steps[: max(1, index)][-1]
        steps = later if index else preset.steps
        scales.append(Scale(scale_height, scale_width, step, step + steps))
        step += steps
    return tuple(scales)


def content_share(preset: Preset, scale: Scale, scales: int) -> float:
    """What alpha is multiplied by at a pyramid's scale.

    A mean over positions needs nothing. A sum ("half_sum") grows with the image where
    the style loss does not; within a pyramid it is brought to that of an image whose
    long side has 512 pixels, so that one setting means the same at every scale.
    """
    if scales == 1 or preset.loss.content_normalization != "half_sum":
        return 1.0
    return (REFERENCE_SIDE / max(scale.height, scale.width)) ** 2


def resample_image(image: Array, height: int, width: int) -> Array:
    """Bicubic, shape [height, width, 3]; nothing is cut."""
    return jax.image.resize(image, (height, width, image.shape[2]), "cubic")


def resample_moments(
    opt_state: optax.OptState, previous: optax.OptState
) -> optax.OptState:
    """Adam's state at a new size, with the moments of the previous size.

    The first moment is resampled bicubically; the second, which may not fall below 0,
    bilinearly. The count of updates goes on.

    Args:
      opt_state: Adam's at the new size.
      previous: the same at another size.

    Returns:
      The state to go on from.

    Source:
      style-transfer-pytorch, ``scale_adam``.
    """

    def resample(path: tuple, leaf: Array, old: Array) -> Array:
        if leaf.shape == old.shape:
            return jnp.asarray(old)
        if jax.tree_util.keystr(path[-1:], simple=True) == "nu":
            return jnp.maximum(jax.image.resize(old, leaf.shape, "linear"), 0.0)
        return jax.image.resize(old, leaf.shape, "cubic")

    return jax.tree_util.tree_map_with_path(resample, opt_state, previous)


def shown_image(state: TransferState, keep: str) -> Array:
    """The last image, the best, or the moving average: what a run shows of itself."""
    if keep == "average" and state.average is not None:
        return state.average.sum / state.average.weight
    return state.best_image if keep == "best" else state.image


def _sizes(
    height: int, width: int, factor: float | None, min_size: int
) -> list[tuple[int, int]]:
    """(height, width) of the scales, small to large."""
    shrinks = [1.0]
    while factor:
        shrink = shrinks[-1] * factor
        if round(max(height, width) / shrink) < min_size:
            break
        shrinks.append(shrink)
    return [
        (max(1, round(height / shrink)), max(1, round(width / shrink)))
        for shrink in reversed(shrinks)
    ]


def _working_min_size(
    height: int, width: int, factor: float | None, needed: int
) -> int:
    """A pyramid_min_size whose first scale has ``needed`` pixels on each side."""
    long, short = max(height, width), min(height, width)
    min_size = math.floor(needed * long / short)
    while min(_sizes(height, width, factor, min_size)[0]) < needed:
        min_size += 1
    return min_size


def _kind(content_size: tuple[int, int], preset: Preset) -> str:
    if preset.pyramid.kind != "auto":
        return preset.pyramid.kind
    side = preset.image.size.value or max(content_size)
    side = max(side) if isinstance(side, tuple) else side
    return "2" if side > REFERENCE_SIDE else "none"
