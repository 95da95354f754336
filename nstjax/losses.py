"""The total loss: content, style and total variation, and what they are compared with.

The terms are sums or means of squared differences; the published programs differ only
in what they divide by, so each form has a name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.conv3x3 import Precision
from nstjax.gradient_normalization import normalize_gradient
from nstjax.gram_loss import StyleNormalization, scaled_squared_error
from nstjax.statistics import GramNormalization
from nstjax.style_losses import (
    StyleForm,
    StyleLoss,
    describe_style,
    style_distance,
)
from nstjax.total_variation import TotalVariationForm, total_variation
from nstjax.vgg import (
    LAYERS,
    ImagePadding,
    Params,
    Pool,
    PoolPadding,
    features,
    layer_channels,
)

ContentNormalization = Literal[
    "half_sum", "mean", "half_mean", "quarter_mean", "scaled"
]


class Region(NamedTuple):
    """A part of the image with a style of its own.

    Attributes:
      guides: {layer: T [h, w]} with mean(T²) = 1, see ``nstjax.control.spatial``.
      style: {layer: target}, of the same layers.
      weight: λ, scalar.
    """

    guides: dict[str, Array]
    style: dict[str, Any]
    weight: Array


class Targets(NamedTuple):
    """What the image is to match.

    Attributes:
      content: {layer: activation of the photo [h, w, c]}.
      style: {layer: target of the whole image}: a Gram matrix [c, c], or what
        ``nstjax.style_losses.style_target`` gives.
      regions: parts of the image, each with its own target.
    """

    content: dict[str, Array]
    style: dict[str, Any]
    regions: tuple[Region, ...] = ()


class Weights(NamedTuple):
    """Every weight of the total loss, as array leaves: no value is compiled in.

    Attributes:
      content: alpha, scalar.
      style: beta, scalar.
      tv: weight of the total variation, scalar.
      content_layers: {layer: w_l}, scalars.
      style_layers: {layer: w_l}, scalars.
    """

    content: Array
    style: Array
    tv: Array
    content_layers: dict[str, Array]
    style_layers: dict[str, Array]


class LossTerms(NamedTuple):
    """The terms of the total loss, without alpha, beta and the tv weight.

    Attributes:
      content: Σ_l w_l C_l, scalar.
      style: Σ_l w_l E_l, scalar.
      tv: total variation, scalar.
      content_layers: {layer: C_l}, without w_l.
      style_layers: {layer: E_l}, without w_l.
    """

    content: Array
    style: Array
    tv: Array
    content_layers: dict[str, Array]
    style_layers: dict[str, Array]


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
    activation, target = jnp.asarray(activation), jnp.asarray(target)
    if activation.shape != target.shape:
        raise ValueError(
            f"content target has shape {target.shape}, expected {activation.shape}"
        )
    if normalization == "scaled":
        return scaled_squared_error(activation, target)
    squared = jnp.square(activation - target)
    if normalization == "half_sum":
        return 0.5 * squared.sum()
    factor = {"mean": 1.0, "half_mean": 0.5, "quarter_mean": 0.25}
    height, width, own_channels = activation.shape
    values = height * width * (channels or own_channels)
    return factor[normalization] * squared.sum() / values


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

    Descriptions of several paintings blend (``nstjax.style_losses.blend_styles``) and
    become targets (``nstjax.style_losses.style_target``); a Gram matrix is its own
    target. "chw" counts VGG-19's channels, see ``total_loss``.

    Args:
      params: the network.
      image: the painting in the network's units, shape [height, width, 3].
      layers: which layers.
      pool: see ``nstjax.vgg.features``.
      pool_padding: likewise.
      image_padding: likewise.
      precision: likewise.
      style_loss: see ``nstjax.style_losses``.
      gram_normalization: see ``nstjax.statistics.gram_matrix``.
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
      params: the network, see ``nstjax.vgg.features``.
      image: x in the network's units, shape [height, width, 3].
      targets: photo's activations and paintings' statistics.
      weights: alpha, beta, tv and per-layer weights.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate".
      precision: "float32" or "mixed", see ``nstjax.conv3x3``.
      content_normalization: see ``content_loss``.
      style_loss: see ``nstjax.style_losses``.
      gram_normalization: see ``gram_matrix``.
      style_normalization: see ``nstjax.gram_loss.style_loss``.
      tv_form: see ``total_variation``.
      normalize_gradients: whether every layer's gradient is scaled to its weight, see
        ``nstjax.gradient_normalization``. The value stays the same.
      key: of the sampled style losses; the same samples each time where not given.

    Returns:
      The scalar to minimize, and its terms without alpha, beta and tv weight, so that
      one log serves every choice of them.

    Source:
      Gatys, Ecker and Bethge (2016), equation 7; regions: Gatys et al. (2017).
    """
    form = StyleForm(style_loss, gram_normalization, style_normalization)
    key = jax.random.key(0) if key is None else key
    styled = [targets.style, *(region.style for region in targets.regions)]
    layers = [
        name
        for name in LAYERS
        if name in targets.content or any(name in style for style in styled)
    ]
    activations = features(
        params,
        image,
        layers,
        pool=pool,
        pool_padding=pool_padding,
        image_padding=image_padding,
        precision=precision,
    )

    def activation_for(layer: str, strength: Array) -> Array:
        if normalize_gradients:
            return normalize_gradient(activations[layer], strength)
        return activations[layer]

    def distance(
        layer: str, target: Any, index: int, guide: Array | None, share: Array
    ) -> Array:
        layer_key = jax.random.fold_in(key, LAYERS.index(layer))
        strength = share * weights.style * weights.style_layers[layer]
        return share * style_distance(
            activation_for(layer, strength),
            target,
            form,
            jax.random.fold_in(layer_key, index),
            guide=guide,
            channels=layer_channels(layer),
        )

    content_layers = {
        layer: content_loss(
            activation_for(layer, weights.content * weights.content_layers[layer]),
            target,
            content_normalization,
            layer_channels(layer),
        )
        for layer, target in targets.content.items()
    }
    style_layers = {
        layer: distance(layer, target, 0, None, jnp.ones(()))
        for layer, target in targets.style.items()
    }
    for index, region in enumerate(targets.regions, start=1):
        for layer, target in region.style.items():
            guide = region.guides[layer]
            loss = distance(layer, target, index, guide, region.weight)
            style_layers[layer] = style_layers.get(layer, 0.0) + loss
    terms = LossTerms(
        content=_weighted_sum(weights.content_layers, content_layers),
        style=_weighted_sum(weights.style_layers, style_layers),
        tv=total_variation(image, tv_form),
        content_layers=content_layers,
        style_layers=style_layers,
    )
    return (
        weights.content * terms.content
        + weights.style * terms.style
        + weights.tv * terms.tv,
        terms,
    )


def _weighted_sum(weights: Mapping[str, Array], losses: Mapping[str, Array]) -> Array:
    return sum((weights[layer] * losses[layer] for layer in losses), jnp.zeros(()))
