"""Gram matrices, and their distances in every published normalization."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.statistics.normalization import (
    GramNormalization,
    LayerSize,
    StyleForm,
    StyleNormalization,
    gram_divisor,
    style_factor,
)
from nstjax.statistics.statistic import Statistic, StatisticContext


class Gram(Statistic):
    """Gatys' style: correlations between the channels."""

    def gather(self, activation: Array, context: StatisticContext) -> Array:
        """Σ_k T_k² F_k F_kᵀ."""
        return gram_sums(activation, context.guide, context.split_rows)

    def finish(self, sums: Array, context: StatisticContext) -> Array:
        """G, see ``gram_matrix``."""
        return sums / gram_divisor(context.form.gram_normalization, context.layer)

    def loss(
        self, statistic: Any, target: Any, key: Array, layer: LayerSize, form: StyleForm
    ) -> Array:
        """See ``style_loss``."""
        return style_loss(
            statistic, target, layer.positions, form.style_normalization, layer.channels
        )


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
    height, width, own_channels = activation.shape
    layer = LayerSize(height * width, channels or own_channels)
    form = StyleForm(gram_normalization=normalization)
    described: Array = Gram().describe(activation, layer, form, guide=guide)
    return described


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
    scaled: Σ (G - A)² / (Σ |G - A| + 1e-8), differentiated as it stands   (Crowson
      2021, ``ScaledMSELoss``; Grams over hw)
    unscaled: as mean.
    relative: √(Σ (G - A)² / Σ A² + 1e-8), the same in all units   (nstjax)

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
    difference = gram - target
    if normalization == "scaled":
        return jnp.square(difference).sum() / (jnp.abs(difference).sum() + 1e-8)
    if normalization == "relative":
        squares = jnp.square(difference).sum() / jnp.square(target).sum()
        return jnp.sqrt(squares + 1e-8)
    layer = LayerSize(positions, channels or gram.shape[0])
    # The factor is split over the difference because an unnormalized float32 Gram of a
    # large image squares to more than float32 sums exactly.
    scale = style_factor(normalization, layer) ** 0.5 / layer.channels
    return jnp.square(scale * difference).sum()


def gram_sums(
    activation: Array, guide: Array | None, split_rows: bool = False
) -> Array:
    """Σ_k T_k² F_k F_kᵀ, see ``gram_matrix``.

    Of rows that are split unevenly over devices, XLA would gather all to flatten them,
    which is faster on a single processor.
    """
    if guide is not None:
        activation = activation * guide[:, :, None]
    if not split_rows:
        activation = activation.reshape(-1, activation.shape[2])
    return _product_with_itself(activation)


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
