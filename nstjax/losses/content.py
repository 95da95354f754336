"""The content loss, as sums over a layer's positions."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

ContentNormalization = Literal[
    "half_sum", "mean", "half_mean", "quarter_mean", "scaled", "relative"
]


class ContentSums(NamedTuple):
    """Sums over a layer's positions and channels.

    Attributes:
      squares: Σ (F - P)², scalar.
      absolutes: Σ |F - P|, scalar.
      target_squares: Σ P², scalar.
    """

    squares: Array
    absolutes: Array
    target_squares: Array


def content_loss(
    activation: ArrayLike,
    target: ArrayLike,
    normalization: ContentNormalization = "half_sum",
    channels: int | None = None,
) -> Array:
    """Squared distance between two activations of one layer.

    half_sum: ½ Σ (F - P)²   (Gatys et al. 2016, equation 1)
    mean: mean (F - P)²   (Gatys' code, Johnson, Athalye, neural-style-pt)
    half_mean: ½ mean (F - P)²   (MATLAB's example)
    quarter_mean: Σ (F - P)² / (4HWC)   (the Coursera course)
    scaled: Σ (F - P)² / (Σ |F - P| + 1e-8)   (Crowson 2021)
    relative: Σ (F - P)² / Σ P², the same in all units   (nstjax)

    Args:
      activation: F, shape [height, width, channels].
      target: P, the photo's activation, same shape.
      normalization: one of the names above.
      channels: C, where it is not the activation's own number.

    Returns:
      Scalar.

    Raises:
      ValueError: if the shapes differ.
    """
    activation = jnp.asarray(activation)
    height, width, own_channels = activation.shape
    sums = content_sums(activation, target)
    values = height * width * (channels or own_channels)
    return normalized_content(sums, normalization, values)


def content_sums(activation: ArrayLike, target: ArrayLike) -> ContentSums:
    """What ``content_loss`` is made of."""
    activation, target = jnp.asarray(activation), jnp.asarray(target)
    if activation.shape != target.shape:
        raise ValueError(
            f"content target has shape {target.shape}, expected {activation.shape}"
        )
    difference = activation - target
    return ContentSums(
        jnp.square(difference).sum(),
        jnp.abs(difference).sum(),
        jnp.square(target).sum(),
    )


def normalized_content(
    sums: ContentSums, normalization: ContentNormalization, values: int
) -> Array:
    """C_l of the sums of a layer that has H·W·C ``values``."""
    if normalization == "scaled":
        return sums.squares / (sums.absolutes + 1e-8)
    if normalization == "relative":
        return sums.squares / (sums.target_squares + 1e-8)
    if normalization == "half_sum":
        return 0.5 * sums.squares
    factor = {"mean": 1.0, "half_mean": 0.5, "quarter_mean": 0.25}
    return factor[normalization] * sums.squares / values
