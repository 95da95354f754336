"""Style losses by name: what is kept of a painting's layer, and the distance to it.

Each statistic takes the place of Gatys' E_l: in a preset whose Gram loss is k times
E_l, so are the others. So that one beta serves all, their factors are the published
ones relative to the Gram loss. For MMD they are those of "Demystifying", divided by the
one that makes its polynomial kernel E_l; for Wasserstein they are Crowson's.

Source:
  Gatys et al. (2016); Li et al., "Demystifying Neural Style Transfer" (2017);
  Crowson's style-transfer-pytorch (2023); Heitz et al. (2021); Risser et al. (2017).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.statistics.normalization import LayerSize, StyleForm
from nstjax.statistics.statistic import Statistic
from nstjax.statistics.table import STATISTICS


def style_statistic(name: str) -> Statistic:
    """The statistic of that name.

    Raises:
      InputError: unknown name.
    """
    if name not in STATISTICS:
        raise InputError(
            f"style_loss must be one of {', '.join(STATISTICS)}, got {name!r}"
        )
    return STATISTICS[name]


def describe_style(
    activation: Array,
    form: StyleForm,
    key: Array,
    *,
    guide: Array | None = None,
    channels: int,
) -> Any:
    """What the loss keeps of a layer: a Gram matrix, moments, positions drawn, ….

    Args:
      activation: shape [height, width, c].
      form: the style loss.
      key: of the sampled losses.
      guide: T with mean(T²) = 1, shape [height, width]: where the style is looked at.
      channels: N that the formulas count, where the layer has c.

    Returns:
      A pytree whose shapes depend on c and, for the sampled losses, on the positions.
    """
    layer = LayerSize(activation.shape[0] * activation.shape[1], channels)
    statistic = style_statistic(form.style_loss)
    return statistic.describe(activation, layer, form, key, guide=guide)


def blend_styles(
    descriptions: Sequence[Any], mixing_weights: ArrayLike, form: StyleForm
) -> Any:
    """Description of several paintings: Σ_i b_i A_i with Σ b_i = 1.

    Gram matrices and moments blend linearly. For Gram matrices, minimizing
    ‖G - Σ b_i A_i‖² has the gradient of Σ b_i ‖G - A_i‖² (Athalye's blend of losses),
    from which it differs by a constant. Covariances become that of the mixture, whose
    second moments about 0 blend linearly. Positions drawn from each painting are put
    together, with its mixing weight.

    Args:
      descriptions: of one layer, from ``describe_style``, one for each painting.
      mixing_weights: b, shape [paintings]; divided by their sum here.
      form: the style loss that they are of.

    Returns:
      A description.

    Source:
      Johnson's neural-style, ``-style_blend_weights``; Crowson for covariances.
    """
    mixing_weights = jnp.asarray(mixing_weights) / jnp.sum(jnp.asarray(mixing_weights))
    return style_statistic(form.style_loss).blend(descriptions, mixing_weights)


def style_target(description: Any, form: StyleForm) -> Any:
    """What ``style_distance`` compares with, of a description of that style loss."""
    return style_statistic(form.style_loss).target(description)


def style_distance(
    activation: Array,
    target: Any,
    form: StyleForm,
    key: Array,
    *,
    guide: Array | None = None,
    channels: int,
) -> Array:
    """E_l of one layer.

    Args:
      activation: the image's, shape [height, width, c].
      target: from ``style_target``.
      form: the style loss.
      key: of the sampled losses: another at each step.
      guide: T with mean(T²) = 1, shape [height, width].
      channels: N that the formulas count.

    Returns:
      Scalar.
    """
    layer = LayerSize(activation.shape[0] * activation.shape[1], channels)
    description_key, distance_key = jax.random.split(key)
    description = describe_style(
        activation, form, description_key, guide=guide, channels=channels
    )
    statistic = style_statistic(form.style_loss)
    return statistic.loss(description, target, distance_key, layer, form)
