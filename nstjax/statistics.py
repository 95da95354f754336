"""What "style" is: statistics of a layer's activation, over its positions."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

GramNormalization = Literal["none", "hw", "chw"]


def gram_matrix(
    activation: ArrayLike,
    normalization: GramNormalization = "none",
    channels: int | None = None,
) -> Array:
    r"""Correlations between the channels of one layer.

    G_ij = Σ_k F_ki F_kj / Z, with F the activation as a matrix [positions, channels],
    k a position, and Z = 1 ("none"), height·width ("hw") or
    channels·height·width ("chw").

    Args:
      activation: one layer's output, shape [height, width, channels].
      normalization: what the sum over positions is divided by. "hw" makes images of
        different sizes comparable.
      channels: C in "chw", where it is not the activation's own number.

    Returns:
      Symmetric positive semi-definite matrix, shape [channels, channels], accumulated
      at the highest precision, in float32 or wider.

    Example:
      >>> import jax.numpy as jnp
      >>> float(gram_matrix(jnp.full((2, 3, 1), 2.0))[0, 0])
      24.0
      >>> float(gram_matrix(jnp.full((2, 3, 1), 2.0), "hw")[0, 0])
      4.0

    Source:
      Gatys, Ecker and Bethge (2016), equation 3 ("none"); Gatys' released code ("hw");
      Johnson's neural-style ("chw").
    """
    activation = jnp.asarray(activation)
    height, width, own_channels = activation.shape
    positions = height * width
    divisor = {
        "none": 1,
        "hw": positions,
        "chw": (channels or own_channels) * positions,
    }
    F = activation.reshape(positions, own_channels)
    return _product_with_itself(F) / divisor[normalization]


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
    return jax.lax.dot_general(
        A,
        B,
        dimension_numbers=(((0,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.promote_types(A.dtype, jnp.float32),
    )
