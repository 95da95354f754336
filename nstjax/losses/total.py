"""The total loss: content, style and total variation, and what they are compared with.

The terms are sums or means of squared differences; the published programs differ only
in what they divide by, so each form has a name.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.losses.content import (
    ContentNormalization,
    content_sums,
    normalized_content,
)
from nstjax.losses.gradient_normalization import normalize_gradient
from nstjax.losses.terms import (
    LossTerm,
    LossTerms,
    Targets,
    Weights,
    layers_of,
    regions_of,
    style_terms_of,
    term_keys,
    term_weight,
    terms_of,
)
from nstjax.losses.total_variation import TotalVariationForm, total_variation
from nstjax.network.architecture import LAYERS, PoolPadding, layer_channels
from nstjax.network.convolution import Precision
from nstjax.network.vgg import (
    ImagePadding,
    NetworkOptions,
    Params,
    Pool,
    activations_of,
)
from nstjax.statistics.normalization import (
    GramNormalization,
    LayerSize,
    StyleForm,
    StyleNormalization,
)
from nstjax.statistics.style import style_statistic


@dataclasses.dataclass(frozen=True)
class LossOptions:
    """What a loss is but for its numbers: the static argument of what is compiled.

    Attributes:
      network: how the activations are computed.
      style: the style loss.
      content_normalization: see ``nstjax.content_loss``.
      tv_form: see ``nstjax.total_variation``.
      normalize_gradients: see ``nstjax.losses.gradient_normalization``.
    """

    network: NetworkOptions = NetworkOptions()
    style: StyleForm = StyleForm()
    content_normalization: ContentNormalization = "half_sum"
    tv_form: TotalVariationForm = "squared"
    normalize_gradients: bool = False


def style_statistics(
    params: Params,
    image: ArrayLike,
    layers: Sequence[str],
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    image_padding: ImagePadding = "zero",
    precision: Precision = "float32",
    style_loss: str = "gram",
    gram_normalization: GramNormalization = "hw",
    guides: Mapping[str, ArrayLike] | None = None,
    key: Array | None = None,
) -> dict[str, Any]:
    """What the style loss keeps of a painting: {layer: Gram matrix [c, c]} or other.

    Descriptions of several paintings blend (``nstjax.blend_styles``) and become targets
    (``nstjax.style_target``); a Gram matrix is its own target. "chw" counts VGG's
    channels, see ``total_loss``.

    Args:
      params: the network.
      image: the painting in the network's units, shape [height, width, 3].
      layers: which layers.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate".
      precision: "float32" or "mixed".
      style_loss: a name of ``nstjax.statistics.table.STATISTICS``.
      gram_normalization: see ``nstjax.gram_matrix``.
      guides: {layer: T [h, w]} where only a part of the painting counts; layers that
        are not in it are left out.
      key: of the sampled losses.
    """
    options = LossOptions(
        NetworkOptions(pool, pool_padding, image_padding, precision),
        StyleForm(style_loss, gram_normalization),
    )
    return describe_painting(params, image, tuple(layers), options, guides, key)


def describe_painting(
    params: Params,
    image: ArrayLike,
    layers: tuple[str, ...],
    options: LossOptions,
    guides: Mapping[str, ArrayLike] | None = None,
    key: Array | None = None,
) -> dict[str, Any]:
    """``style_statistics`` with the options as one value."""
    key = jax.random.key(0) if key is None else key
    activations = activations_of(params, image, layers, options.network)
    statistic = style_statistic(options.style.style_loss)
    return {
        layer: statistic.describe(
            activations[layer],
            layer_size(activations[layer], layer),
            options.style,
            jax.random.fold_in(key, LAYERS.index(layer)),
            guide=None if guides is None else guides[layer],
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
    style_loss: str = "gram",
    gram_normalization: GramNormalization = "hw",
    style_normalization: StyleNormalization = "quarter_mean",
    tv_form: TotalVariationForm = "squared",
    normalize_gradients: bool = False,
    key: Array | None = None,
) -> tuple[Array, LossTerms]:
    """α Σ_l w_l C_l + β Σ_l w_l E_l + tv·TV, and its terms unweighted.

    E_l is the distance of the whole image's statistic from ``targets.style``, and of
    each region's from its own: Σ_r λ_r E_rl. The layers are those of ``targets``.
    Defaults are the paper's. A narrower network stands for VGG: the channels that the
    formulas count are VGG's, as if those that it lacks were 0, so that a preset's
    weights keep their meaning.

    Args:
      params: the network, see ``nstjax.features``.
      image: x in the network's units, shape [height, width, 3].
      targets: photo's activations and paintings' statistics.
      weights: alpha, beta, tv and per-layer weights.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate".
      precision: "float32" or "mixed", see ``nstjax.network.convolution``.
      content_normalization: see ``nstjax.content_loss``.
      style_loss: a name of ``nstjax.statistics.table.STATISTICS``.
      gram_normalization: see ``nstjax.gram_matrix``.
      style_normalization: see ``nstjax.style_loss``.
      tv_form: see ``nstjax.total_variation``.
      normalize_gradients: whether every layer's gradient is scaled to its weight, see
        ``nstjax.losses.gradient_normalization``. The value stays the same.
      key: of the sampled style losses; the same samples each time where not given.

    Returns:
      The scalar to minimize, and its terms without alpha, beta and tv weight, so that
      one log serves every choice of them.

    Source:
      Gatys, Ecker and Bethge (2016), equation 7; regions: Gatys et al. (2017).
    """
    options = LossOptions(
        NetworkOptions(pool, pool_padding, image_padding, precision),
        StyleForm(style_loss, gram_normalization, style_normalization),
        content_normalization,
        tv_form,
        normalize_gradients,
    )
    return loss_of_image(params, image, targets, weights, options, key)


def loss_of_image(
    params: Params,
    image: ArrayLike,
    targets: Targets,
    weights: Weights,
    options: LossOptions,
    key: Array | None = None,
    row_devices: int = 1,
) -> tuple[Array, LossTerms]:
    """``total_loss`` with the options as one value, rows split over ``row_devices``."""
    key = jax.random.key(0) if key is None else key
    activations = activations_of(
        params, image, layers_of(targets), options.network, row_devices
    )
    statistic = style_statistic(options.style.style_loss)
    guides = style_terms_of(targets)

    def read(term: LossTerm) -> Any:
        activation = activations[term.layer]
        if options.normalize_gradients:
            # Each term of a layer has a gradient of its own.
            weight = term_weight(term, targets, weights)
            activation = normalize_gradient(activation, weight)
        if term.kind == "content":
            return content_sums(activation, targets.content[term.layer])
        return statistic.describe(
            activation,
            layer_size(activation, term.layer),
            options.style,
            term_keys(key, term)[0],
            guide=guides[term],
            split_rows=row_devices > 1,
        )

    return loss_of_statistics(
        {term: read(term) for term in terms_of(targets)},
        total_variation(image, options.tv_form),
        {layer: layer_size(value, layer) for layer, value in activations.items()},
        targets,
        weights,
        options,
        key,
    )


def loss_of_statistics(
    statistics: Mapping[LossTerm, Any],
    roughness: Array,
    sizes: Mapping[str, LayerSize],
    targets: Targets,
    weights: Weights,
    options: LossOptions,
    key: Array,
) -> tuple[Array, LossTerms]:
    """The total loss once the activations are no longer needed.

    ``statistics`` are each term's ``ContentSums`` or style statistic, ``roughness`` is
    the image's total variation.
    """
    statistic, regions = style_statistic(options.style.style_loss), regions_of(targets)
    content_layers: dict[str, Array] = {}
    style_layers: dict[str, Array] = {}
    for term, value in statistics.items():
        layer, size = term.layer, sizes[term.layer]
        if term.kind == "content":
            content_layers[layer] = normalized_content(
                value, options.content_normalization, math.prod(size)
            )
            continue
        region = regions[term.region]
        loss = region.weight * statistic.loss(
            value, region.style[layer], term_keys(key, term)[1], size, options.style
        )
        known = style_layers.get(layer)
        style_layers[layer] = loss if known is None else known + loss
    terms = LossTerms(
        content=_weighted_sum(weights.content_layers, content_layers),
        style=_weighted_sum(weights.style_layers, style_layers),
        tv=roughness,
        content_layers=content_layers,
        style_layers=style_layers,
    )
    total = weights.content * terms.content + weights.style * terms.style
    return total + weights.tv * terms.tv, terms


def layer_size(activation: Array, layer: str) -> LayerSize:
    """The positions of an activation [h, w, c], and the channels of VGG's layer."""
    height, width, _ = activation.shape
    return LayerSize(height * width, layer_channels(layer))


def _weighted_sum(weights: Mapping[str, Array], losses: Mapping[str, Array]) -> Array:
    return sum((weights[layer] * losses[layer] for layer in losses), jnp.zeros(()))
