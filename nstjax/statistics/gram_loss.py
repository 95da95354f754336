"""Distances between Gram matrices, in every published normalization."""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

StyleNormalization = Literal[
    "mean",
    "quarter_mean",
    "mean_per_c2",
    "quarter_mean_per_hw2",
    "mean_per_hwc2",
    "scaled",
    "unscaled",
]


def style_loss(
    gram: ArrayLike,
    target: ArrayLike,
    positions: int,
    normalization: StyleNormalization = "quarter_mean",
    channels: int | None = None,
) -> Array:
    """Squared distance between two Gram matrices of one layer.

    With N channels and M positions (height·width), and mean() over the N² entries:

    mean: mean (G - A)²   (Johnson, Athalye, neural-style-pt; Grams over chw)
    quarter_mean: ¼ mean (G - A)²   (Gatys et al. 2016, equation 4; Grams over hw)
    mean_per_c2: mean (G - A)² / N²   (Gatys' code; Grams over hw)
    quarter_mean_per_hw2: Σ (G - A)² / (4 N² M²)   (Coursera; Grams not divided)
    mean_per_hwc2: mean (G - A)² / (M N)²   (MATLAB's example; Grams not divided)
    scaled: Σ (G - A)² / (Σ |G - A| + 1e-8)   (Crowson 2021; Grams over hw)
    unscaled: as mean.

    Args:
      gram: G, shape [channels, channels].
      target: A, the painting's Gram matrix, same shape and Gram normalization.
      positions: M, height·width of the activation that G was made of.
      normalization: one of the names above.
      channels: N, where it is not the Gram matrix's own number.

    Returns:
      Scalar E_l.

    Raises:
      ValueError: if the shapes differ.
    """
    gram, target = jnp.asarray(gram), jnp.asarray(target)
    if gram.shape != target.shape:
        raise ValueError(
            f"style target has shape {target.shape}, expected {gram.shape}"
        )
    if normalization == "scaled":
        return scaled_squared_error(gram, target)
    channels = channels or gram.shape[0]
    # The factor is split over the difference because an unnormalized float32 Gram of a
    # large image squares to more than float32 sums exactly.
    scale = style_factor(normalization, positions, channels) ** 0.5 / channels
    return jnp.square(scale * (gram - target)).sum()


def scaled_squared_error(values: Array, target: Array) -> Array:
    """Σ d² / (Σ |d| + 1e-8) with d = values - target, differentiated as it stands.

    Source:
      style-transfer-pytorch before 2023, ``ScaledMSELoss``.
    """
    difference = values - target
    return jnp.square(difference).sum() / (jnp.abs(difference).sum() + 1e-8)


def style_factor(
    normalization: StyleNormalization, positions: int, channels: int
) -> float:
    """What ``style_loss`` multiplies the mean of (G - A)² by.

    Args:
      normalization: one of its names, but for "scaled".
      positions: M.
      channels: N.
    """
    return {
        "mean": 1.0,
        "unscaled": 1.0,
        "quarter_mean": 0.25,
        "mean_per_c2": channels**-2.0,
        "quarter_mean_per_hw2": 0.25 * positions**-2.0,
        "mean_per_hwc2": (positions * channels) ** -2.0,
    }[normalization]
