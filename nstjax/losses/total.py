"""The total loss: content, style and total variation, and what they are compared with.

The terms are sums or means of squared differences; the published programs differ only
in what they divide by, so each form has a name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.losses.gradient_normalization import normalize_gradient
from nstjax.losses.terms import (
    CONTENT,
    ContentNormalization,
    LossTerms,
    Region,
    Targets,
    Use,
    Weights,
    content_loss,
    content_sums,
    layers_of,
    loss_of_readings,
    strengths_of,
    style_keys,
    uses_of,
)
from nstjax.losses.total_variation import TotalVariationForm, total_variation
from nstjax.network.convolution import Precision
from nstjax.network.vgg import (
    LAYERS,
    ImagePadding,
    Params,
    Pool,
    PoolPadding,
    features,
    layer_channels,
)
from nstjax.statistics.gram import GramNormalization
from nstjax.statistics.gram_loss import StyleNormalization
from nstjax.statistics.style_losses import StyleForm, StyleLoss, describe_style

__all__ = [
    "ContentNormalization",
    "LossTerms",
    "Region",
    "Targets",
    "Weights",
    "content_loss",
    "style_statistics",
    "total_loss",
]


def style_statistics(
    params: Params,
    image: ArrayLike,
    layers: Sequence[str],
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    image_padding: ImagePadding = "zero",
    precision: Precision = "float32",
    style_loss: StyleLoss = "gram",
    gram_normalization: GramNormalization = "hw",
    guides: Mapping[str, ArrayLike] | None = None,
    key: Array | None = None,
) -> dict[str, Any]:
    """What the style loss keeps of a painting: {layer: Gram matrix [c, c]} or other.

    Descriptions of several paintings blend (``nstjax.blend_styles``) and
    become targets (``nstjax.style_target``); a Gram matrix is its own
    target. "chw" counts VGG-19's channels, see ``total_loss``.

    Args:
      params: the network.
      image: the painting in the network's units, shape [height, width, 3].
      layers: which layers.
      pool: see ``nstjax.features``.
      pool_padding: likewise.
      image_padding: likewise.
      precision: likewise.
      style_loss: see ``nstjax.statistics.style_losses``.
      gram_normalization: see ``nstjax.gram_matrix``.
      guides: {layer: T [h, w]} where only a part of the painting counts; layers that
        are not in it are left out.
      key: of the sampled losses.
    """
    form = StyleForm(style_loss, gram_normalization)
    key = jax.random.key(0) if key is None else key
    activations = features(
        params,
        image,
        layers,
        pool=pool,
        pool_padding=pool_padding,
        image_padding=image_padding,
        precision=precision,
    )
    return {
        layer: describe_style(
            activations[layer],
            form,
            jax.random.fold_in(key, LAYERS.index(layer)),
            guide=None if guides is None else jnp.asarray(guides[layer]),
            channels=layer_channels(layer),
        )
        for layer in layers
        if guides is None or layer in guides
    }


def total_loss(
    params: Params,
    image: ArrayLike,
    targets: Targets,
    weights: Weights,
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    image_padding: ImagePadding = "zero",
    precision: Precision = "float32",
    content_normalization: ContentNormalization = "half_sum",
    style_loss: StyleLoss = "gram",
    gram_normalization: GramNormalization = "hw",
    style_normalization: StyleNormalization = "quarter_mean",
    tv_form: TotalVariationForm = "squared",
    normalize_gradients: bool = False,
    key: Array | None = None,
) -> tuple[Array, LossTerms]:
    """α Σ_l w_l C_l + β Σ_l w_l E_l + tv·TV, and its terms unweighted.

    E_l is the distance of the whole image's statistic from ``targets.style``, and of
    each region's from its own: Σ_r λ_r E_rl. The layers are those of ``targets``.
    Defaults are the paper's. A narrower network stands for VGG-19: the channels that
    the formulas count are VGG-19's, as if those that it lacks were 0, so that a
    preset's weights keep their meaning.

    Args:
      params: the network, see ``nstjax.features``.
      image: x in the network's units, shape [height, width, 3].
      targets: photo's activations and paintings' statistics.
      weights: alpha, beta, tv and per-layer weights.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate".
      precision: "float32" or "mixed", see ``nstjax.network.convolution``.
      content_normalization: see ``content_loss``.
      style_loss: see ``nstjax.statistics.style_losses``.
      gram_normalization: see ``gram_matrix``.
      style_normalization: see ``nstjax.style_loss``.
      tv_form: see ``total_variation``.
      normalize_gradients: whether every layer's gradient is scaled to its weight, see
        ``nstjax.losses.gradient_normalization``. The value stays the same.
      key: of the sampled style losses; the same samples each time where not given.

    Returns:
      The scalar to minimize, and its terms without alpha, beta and tv weight, so that
      one log serves every choice of them.

    Source:
      Gatys, Ecker and Bethge (2016), equation 7; regions: Gatys et al. (2017).
    """
    form = StyleForm(style_loss, gram_normalization, style_normalization)
    key = jax.random.key(0) if key is None else key
    activations = features(
        params,
        image,
        layers_of(targets),
        pool=pool,
        pool_padding=pool_padding,
        image_padding=image_padding,
        precision=precision,
    )
    strengths = strengths_of(targets, weights)

    def read(use: Use, guide: Array | None) -> Any:
        number, layer = use
        activation = activations[layer]
        if normalize_gradients:
            # Each use of a layer has a gradient of its own.
            activation = normalize_gradient(activation, strengths[use])
        if number == CONTENT:
            return content_sums(activation, targets.content[layer])
        return describe_style(
            activation,
            form,
            style_keys(key, use)[0],
            guide=guide,
            channels=layer_channels(layer),
        )

    return loss_of_readings(
        {use: read(use, guide) for use, guide in uses_of(targets).items()},
        total_variation(image, tv_form),
        {layer: value.shape[:2] for layer, value in activations.items()},
        targets,
        weights,
        form,
        content_normalization,
        key,
    )
