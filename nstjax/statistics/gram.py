"""What "style" is: statistics of a layer's activation, over its positions."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.runtime.processes import devices_of_rows

GramNormalization = Literal["none", "hw", "chw"]


class Moments(NamedTuple):
    """First two moments of each channel over the positions.

    Attributes:
      mean: shape [channels].
      deviation: standard deviation, shape [channels].
    """

    mean: Array
    deviation: Array


def gram_matrix(
    activation: ArrayLike,
    normalization: GramNormalization = "none",
    channels: int | None = None,
    guide: ArrayLike | None = None,
) -> Array:
    r"""Correlations between the channels of one layer.

    G_ij = Σ_k T_k² F_ki F_kj / Z, with F the activation as a matrix
    [positions, channels], k a position, T the guide (1 without one), and Z = 1
    ("none"), height·width ("hw") or channels·height·width ("chw").

    Args:
      activation: one layer's output, shape [height, width, channels].
      normalization: what the sum over positions is divided by. "hw" makes images of
        different sizes comparable.
      channels: C in "chw", where it is not the activation's own number.
      guide: T with mean(T²) = 1, shape [height, width]: how much each position counts.

    Returns:
      Symmetric positive semi-definite matrix, shape [channels, channels], accumulated
      at the highest precision, in float32 or wider.

    Raises:
      InputError: if the guide has another size than the activation.

    Example:
      >>> import jax.numpy as jnp
      >>> float(gram_matrix(jnp.full((2, 3, 1), 2.0))[0, 0])
      24.0
      >>> float(gram_matrix(jnp.full((2, 3, 1), 2.0), "hw")[0, 0])
      4.0

    Source:
      Gatys, Ecker and Bethge (2016), equation 3 ("none"); Gatys' released code ("hw");
      Johnson's neural-style ("chw"); Gatys et al. (2017), "Controlling Perceptual
      Factors in Neural Style Transfer" (guide).
    """
    activation = jnp.asarray(activation)
    if guide is not None:
        activation = activation * _checked(guide, activation)[:, :, None]
    height, width, own_channels = activation.shape
    positions = height * width
    divisor = {
        "none": 1,
        "hw": positions,
        "chw": (channels or own_channels) * positions,
    }
    if devices_of_rows() == 1:
        # Faster on processors. Of rows that are split unevenly over devices, see
        # ``nstjax.optimization.sharding``, XLA would gather all.
        activation = activation.reshape(positions, own_channels)
    return _product_with_itself(activation) / divisor[normalization]


def channel_means(activation: ArrayLike, guide: ArrayLike | None = None) -> Array:
    """Mean of each channel: μ_c = mean_k T_k² F_kc, T = 1 without a guide.

    Args:
      activation: F, shape [height, width, channels].
      guide: see ``gram_matrix``.

    Returns:
      Shape [channels], in float32 or wider.

    Raises:
      InputError: if the guide has another size than the activation.
    """
    activation = jnp.asarray(activation)
    if guide is not None:
        activation *= jnp.square(_checked(guide, activation))[:, :, None]
    return activation.mean((0, 1), jnp.promote_types(activation.dtype, jnp.float32))


def moments(activation: ArrayLike, guide: ArrayLike | None = None) -> Moments:
    """Mean and standard deviation of each channel.

    μ_c = mean_k T_k² F_kc,  σ_c = sqrt(mean_k T_k² (F_kc - μ_c)² + 1e-6), with T = 1
    without a guide. The 1e-6 keeps the gradient finite where a channel is constant.

    Args:
      activation: F, shape [height, width, channels].
      guide: see ``gram_matrix``.

    Returns:
      Both [channels], in float32 or wider.

    Raises:
      InputError: if the guide has another size than the activation.

    Source:
      Li et al. (2017), "Demystifying Neural Style Transfer" (batch normalization
      statistics); Huang and Belongie (2017), AdaIN's style loss and its 1e-6.
    """
    activation = jnp.asarray(activation)
    mean = channel_means(activation, guide)
    squared = jnp.square(activation - mean[None, None, :])
    return Moments(mean, jnp.sqrt(channel_means(squared, guide) + 1e-6))


def draw_samples(
    key: Array, values: ArrayLike, weights: ArrayLike | None, count: int
) -> Array:
    """The rows of ``values`` that ``draw_rows`` draws.

    Args:
      key: of ``jax.random``.
      values: shape [rows, channels].
      weights: see ``draw_rows``.
      count: number of samples.

    Returns:
      Shape [count, channels], in the order of the rows.
    """
    values = jnp.asarray(values)
    if weights is None and count == len(values):
        return values
    return values[draw_rows(key, len(values), weights, count)]


def draw_rows(key: Array, rows: int, weights: ArrayLike | None, count: int) -> Array:
    """Draw rows with probabilities in proportion to their weights, stratified.

    Sample i is the row that holds the (i + u_i)/count quantile of the cumulative
    weights, u_i uniform in 0..1. Where the weights are equal and there are as many
    samples as rows, each row is drawn once.

    Args:
      key: of ``jax.random``.
      rows: how many there are.
      weights: shape [rows], none negative and some above 0; None where all are equal.
        A row of weight 0, or of less than 2⁻³¹ of the sum, is never drawn.
      count: number of samples.

    Returns:
      Their indices in increasing order, shape [count].
    """
    if weights is None and count == rows:
        return jnp.arange(rows)
    # Whole numbers, because rounding errors of float32 sums would move the quantiles
    # of a million rows from one row to the next.
    if weights is None:
        share = 2**30 // rows
        end = jnp.asarray(share * rows)
    else:
        weights = jnp.asarray(weights)
        shares = jnp.round(weights * (2.0**30 / weights.sum()))
        ends = jnp.cumsum(shares.astype(jnp.int32))
        end = ends[-1]
    width, longer = end // count, end % count
    sample = jnp.arange(count)
    quantiles = (
        sample * width
        + jnp.minimum(sample, longer)
        + jax.random.randint(key, (count,), 0, width + (sample < longer))
    )
    if weights is None:
        return quantiles // share
    return jnp.searchsorted(ends, quantiles, side="right")


def _checked(guide: ArrayLike, activation: Array) -> Array:
    guide = jnp.asarray(guide)
    if guide.shape != activation.shape[:2]:
        raise InputError(
            f"guide has shape {guide.shape}: give one value per position, "
            f"shape {activation.shape[:2]}"
        )
    return guide


@jax.custom_jvp
def _product_with_itself(F: Array) -> Array:
    return _transposed_product(F, F)


@_product_with_itself.defjvp
def _product_with_itself_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    # Left alone, JAX makes both of the two products below, each the other transposed.
    (F,), (F_dot,) = primals, tangents
    half = _transposed_product(F, F_dot)
    return _product_with_itself(F), half + half.T


def _transposed_product(A: Array, B: Array) -> Array:
    """Aᵀ B of [positions, channels], or of [height, width, channels] as if it were."""
    positions = tuple(range(A.ndim - 1))
    return jax.lax.dot_general(
        A,
        B,
        dimension_numbers=((positions, positions), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(A.dtype, jnp.float32),
    )
