"""What is kept of a layer's style, gathered from parts of it.

Every description of ``nstjax.statistics.style_losses`` is made of sums over the
positions, so that the sums of parts, each with its positions' weights, add up to those
of the whole:

gram, mmd-poly: Σ_k w_k F_k F_kᵀ
mmd-linear: Σ_k w_k F_k
moments: Σ_k w_k (F_k - s) and Σ_k w_k (F_k - s)²
wasserstein2: Σ_k w_k (F_k - s) and Σ_k w_k (F_k - s)(F_k - s)ᵀ
the sampled ones: the activation at the positions drawn, which depend on the key and
  the guide alone; 0 where a position lies in another part

w is T² (1 without a guide) in the part's core and 0 outside it. The center s is the
mean, gathered before; with any other s, what is subtracted from the second sum would
cancel most of it.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from nstjax.statistics.gram import Moments, channel_means, draw_rows, gram_matrix
from nstjax.statistics.style_losses import (
    COVARIANCE_REGULARIZATION,
    SAMPLED,
    SAMPLES,
    Gaussian,
    StyleForm,
    StyleLoss,
    equal_samples,
)
from nstjax.tiling.windows import Part

CENTERED: tuple[StyleLoss, ...] = ("moments", "wasserstein2")


class Frame(NamedTuple):
    """What a style's sums are taken with.

    Attributes:
      guide: T of the whole layer, or None.
      drawn: positions of the whole layer, row by row, [samples], or None.
      center: s, shape [channels], or None.
    """

    guide: Array | None
    drawn: Array | None = None
    center: Array | None = None


def draw_positions(
    form: StyleForm, size: tuple[int, int], guide: Array | None, key: Array
) -> Array | None:
    """The positions that ``describe_style`` draws from a layer of that size."""
    if form.style_loss not in SAMPLED:
        return None
    rows = size[0] * size[1]
    weights = None if guide is None else jnp.square(guide).ravel()
    return draw_rows(key, rows, weights, min(rows, SAMPLES))


def weighted_sum(activation: Array, part: Part, frame: Frame) -> Array:
    """Σ_k w_k F_k, shape [channels]."""
    return channel_means(activation, _weights(part, frame)) * part.core.size


def style_sums(activation: Array, part: Part, frame: Frame, form: StyleForm) -> Any:
    """The sums of one part.

    Args:
      activation: of the part, [height, width, channels].
      part: where it lies.
      frame: of the whole layer.
      form: the style loss.

    Returns:
      A pytree to add to those of the other parts.
    """
    if frame.drawn is not None:
        return _drawn_values(activation, part, frame.drawn)
    if form.style_loss == "mmd-linear":
        return weighted_sum(activation, part, frame)
    weights = _weights(part, frame)
    if frame.center is None:
        return gram_matrix(activation, guide=weights)
    centered = activation - frame.center[None, None, :]
    second = (
        weighted_sum(jnp.square(centered), part, frame)
        if form.style_loss == "moments"
        else gram_matrix(centered, guide=weights)
    )
    return weighted_sum(centered, part, frame), second


def describe_sums(
    sums: Any, frame: Frame, form: StyleForm, positions: int, channels: int
) -> Any:
    """What ``nstjax.describe_style`` says of the whole layer.

    Args:
      sums: of all its parts.
      frame: of the layer.
      form: the style loss.
      positions: height·width of the layer.
      channels: N that the formulas count.
    """
    if frame.drawn is not None:
        return equal_samples(sums)
    if frame.center is None:
        divisors = {"none": 1, "hw": positions, "chw": channels * positions}
        own = form.style_loss == "gram"
        return sums / divisors[form.gram_normalization if own else "hw"]
    shift, second = (value / positions for value in sums)
    mean = frame.center + shift
    if form.style_loss == "moments":
        return Moments(mean, jnp.sqrt(second - jnp.square(shift) + 1e-6))
    ridge = COVARIANCE_REGULARIZATION * jnp.eye(mean.size, dtype=mean.dtype)
    return Gaussian(mean, second - shift[:, None] * shift[None, :] + ridge)


def _weights(part: Part, frame: Frame) -> Array:
    """The square roots of w."""
    return part.core if frame.guide is None else part.core * part.of(frame.guide)


def _drawn_values(activation: Array, part: Part, drawn: Array) -> Array:
    height, width = part.core.shape
    row = drawn // part.whole[1] - part.start[0]
    column = drawn % part.whole[1] - part.start[1]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    counts = inside * part.core[row, column]
    return counts[:, None] * activation[row, column]
