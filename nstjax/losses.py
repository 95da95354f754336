"""Content, style and total variation losses, each in every published normalization.

The terms are sums or means of squared differences; the published programs differ only
in what they divide by, so each form has a name.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.statistics import GramNormalization, gram_matrix
from nstjax.vgg import LAYERS, Params, Pool, PoolPadding, features, layer_channels

ContentNormalization = Literal["half_sum", "mean", "half_mean", "quarter_mean"]
StyleNormalization = Literal[
    "mean",
    "quarter_mean",
    "mean_per_c2",
    "quarter_mean_per_hw2",
    "mean_per_hwc2",
]
TotalVariationForm = Literal["squared", "mean_squared", "l1"]


class Targets(NamedTuple):
    """What the image is to match.

    Attributes:
      content: {layer: activation of the photo [h, w, c]}.
      style: {layer: Gram matrix of the painting [c, c]}.
    """

    content: dict[str, Array]
    style: dict[str, Array]


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
    squared = jnp.square(activation - target)
    if normalization == "half_sum":
        return 0.5 * squared.sum()
    factor = {"mean": 1.0, "half_mean": 0.5, "quarter_mean": 0.25}
    height, width, own_channels = activation.shape
    values = height * width * (channels or own_channels)
    return factor[normalization] * squared.sum() / values


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
    channels = channels or gram.shape[0]
    factor = {
        "mean": 1.0,
        "quarter_mean": 0.25,
        "mean_per_c2": channels**-2.0,
        "quarter_mean_per_hw2": 0.25 * positions**-2.0,
        "mean_per_hwc2": (positions * channels) ** -2.0,
    }
    # The factor is split over the difference because an unnormalized float32 Gram of a
    # large image squares to more than float32 sums exactly.
    scale = factor[normalization] ** 0.5 / channels
    return jnp.square(scale * (gram - target)).sum()


def total_variation(image: ArrayLike, form: TotalVariationForm = "squared") -> Array:
    """Roughness of an image: differences dx, dy between neighbouring pixels.

    squared: ½ Σ (dx² + dy²) over pixels with both neighbours   (Johnson)
    mean_squared: mean dx² + mean dy²   (Athalye)
    l1: Σ |dx| + Σ |dy|   (neural-style-pt)

    Args:
      image: shape [height, width, 3], in the network's units.
      form: one of the names above.

    Returns:
      Scalar.
    """
    image = jnp.asarray(image)
    dx = image[:, 1:] - image[:, :-1]
    dy = image[1:, :] - image[:-1, :]
    if form == "squared":
        return 0.5 * (jnp.square(dx[:-1]).sum() + jnp.square(dy[:, :-1]).sum())
    if form == "mean_squared":
        return jnp.square(dx).mean() + jnp.square(dy).mean()
    return jnp.abs(dx).sum() + jnp.abs(dy).sum()


def style_grams(
    params: Params,
    image: ArrayLike,
    layers: Sequence[str],
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    gram_normalization: GramNormalization = "hw",
) -> dict[str, Array]:
    """Gram matrix of each of a painting's layers: {layer: [channels, channels]}.

    "chw" counts VGG-19's channels, see ``total_loss``.
    """
    activations = features(params, image, layers, pool=pool, pool_padding=pool_padding)
    return {
        layer: gram_matrix(activation, gram_normalization, layer_channels(layer))
        for layer, activation in activations.items()
    }


def blend_styles(
    grams: Sequence[Mapping[str, Array]], blend_weights: ArrayLike
) -> dict[str, Array]:
    """Target of several paintings: A = Σ_i b_i A_i with Σ b_i = 1.

    Minimizing ‖G - Σ b_i A_i‖² has the gradient of Σ b_i ‖G - A_i‖² (Athalye's blend of
    losses), from which it differs by a constant.

    Args:
      grams: one {layer: Gram matrix} for each painting.
      blend_weights: b, shape [paintings]; divided by their sum here.

    Returns:
      {layer: Gram matrix}.

    Source:
      Johnson's neural-style, ``-style_blend_weights``.
    """
    shares = jnp.asarray(blend_weights) / jnp.sum(jnp.asarray(blend_weights))
    return {
        layer: jnp.tensordot(
            shares, jnp.stack([gram[layer] for gram in grams]), 1, precision="highest"
        )
        for layer in grams[0]
    }


def total_loss(
    params: Params,
    image: ArrayLike,
    targets: Targets,
    weights: Weights,
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    content_normalization: ContentNormalization = "half_sum",
    gram_normalization: GramNormalization = "hw",
    style_normalization: StyleNormalization = "quarter_mean",
    tv_form: TotalVariationForm = "squared",
) -> tuple[Array, LossTerms]:
    """α Σ_l w_l C_l + β Σ_l w_l E_l + tv·TV, and its terms unweighted.

    The layers are those of ``targets``. Defaults are the paper's. A narrower network
    stands for VGG-19: the channels that the formulas count are VGG-19's, as if those
    that it lacks were 0, so that a preset's weights keep their meaning.

    Args:
      params: the network, see ``nstjax.vgg.features``.
      image: x in the network's units, shape [height, width, 3].
      targets: photo's activations and painting's Gram matrices.
      weights: alpha, beta, tv and per-layer weights.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      content_normalization: see ``content_loss``.
      gram_normalization: see ``gram_matrix``.
      style_normalization: see ``style_loss``.
      tv_form: see ``total_variation``.

    Returns:
      The scalar to minimize, and its terms without alpha, beta and tv weight, so that
      one log serves every choice of them.

    Source:
      Gatys, Ecker and Bethge (2016), equation 7.
    """
    layers = [
        name for name in LAYERS if name in targets.content or name in targets.style
    ]
    activations = features(params, image, layers, pool=pool, pool_padding=pool_padding)
    content_layers = {
        layer: content_loss(
            activations[layer], target, content_normalization, layer_channels(layer)
        )
        for layer, target in targets.content.items()
    }
    style_layers = {
        layer: style_loss(
            gram_matrix(activations[layer], gram_normalization, layer_channels(layer)),
            target,
            activations[layer].shape[0] * activations[layer].shape[1],
            style_normalization,
            layer_channels(layer),
        )
        for layer, target in targets.style.items()
    }
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
