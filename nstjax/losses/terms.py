"""What the loss reads of an image's activations, and the loss of what is read.

The readings are all that a layer's positions are needed for, so that they can be
gathered from an image at once (``nstjax.losses.total``) or part by part
(``nstjax.tiling.loss``).
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.network.vgg import LAYERS, layer_channels
from nstjax.statistics.style_losses import StyleForm, description_distance

ContentNormalization = Literal[
    "half_sum", "mean", "half_mean", "quarter_mean", "scaled"
]
# One use of a layer: which, and the layer. The content is the first, the style of the
# whole image the second, and then that of each region.
Use = tuple[int, str]
CONTENT, WHOLE = 0, 1


class Region(NamedTuple):
    """A part of the image with a style of its own.

    Attributes:
      guides: {layer: T [h, w]} with mean(T²) = 1, see ``nstjax.network.guides``.
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
        ``nstjax.style_target`` gives.
      regions: parts of the image, each with its own target.
    """

    content: dict[str, Array]
    style: dict[str, Any]
    regions: tuple[Region, ...] = ()


class ContentSums(NamedTuple):
    """Sums over a layer's positions and channels, of F - P.

    Attributes:
      squares: Σ (F - P)², scalar.
      absolutes: Σ |F - P|, scalar.
    """

    squares: Array
    absolutes: Array


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
    activation = jnp.asarray(activation)
    height, width, own_channels = activation.shape
    sums = content_sums(activation, target)
    values = height * width * (channels or own_channels)
    return normalized_content(sums, normalization, values)


def content_sums(activation: ArrayLike, target: ArrayLike) -> ContentSums:
    """Sums of squared and of absolute differences, see ``content_loss``."""
    activation, target = jnp.asarray(activation), jnp.asarray(target)
    if activation.shape != target.shape:
        raise ValueError(
            f"content target has shape {target.shape}, expected {activation.shape}"
        )
    difference = activation - target
    return ContentSums(jnp.square(difference).sum(), jnp.abs(difference).sum())


def normalized_content(
    sums: ContentSums, normalization: ContentNormalization, values: int
) -> Array:
    """C_l of a layer's sums.

    Args:
      sums: of all of the layer.
      normalization: see ``content_loss``.
      values: H·W·C.
    """
    if normalization == "scaled":
        return sums.squares / (sums.absolutes + 1e-8)
    if normalization == "half_sum":
        return 0.5 * sums.squares
    factor = {"mean": 1.0, "half_mean": 0.5, "quarter_mean": 0.25}
    return factor[normalization] * sums.squares / values


def uses_of(targets: Targets) -> dict[Use, Array | None]:
    """Each use that the loss makes of a layer, with its guide."""
    uses: dict[Use, Array | None] = {
        (CONTENT, layer): None for layer in targets.content
    }
    uses |= {(WHOLE, layer): None for layer in targets.style}
    for number, region in enumerate(targets.regions, start=WHOLE + 1):
        uses |= {(number, layer): region.guides[layer] for layer in region.style}
    return uses


def layers_of(targets: Targets) -> tuple[str, ...]:
    """The layers that the loss reads, in their order."""
    return tuple(sorted({layer for _, layer in uses_of(targets)}, key=LAYERS.index))


def strengths_of(targets: Targets, weights: Weights) -> dict[Use, Array]:
    """What each use of a layer weighs in the total."""
    shares = (jnp.ones(()), *(region.weight for region in targets.regions))
    return {
        (number, layer): weights.content * weights.content_layers[layer]
        if number == CONTENT
        else shares[number - WHOLE] * weights.style * weights.style_layers[layer]
        for number, layer in uses_of(targets)
    }


def style_keys(key: Array, use: Use) -> tuple[Array, Array]:
    """The keys of a use's description and of its distance."""
    number, layer = use
    layer_key = jax.random.fold_in(key, LAYERS.index(layer))
    description_key, distance_key = jax.random.split(
        jax.random.fold_in(layer_key, number - WHOLE)
    )
    return description_key, distance_key


def loss_of_readings(
    readings: Mapping[Use, Any],
    roughness: Array,
    sizes: Mapping[str, tuple[int, ...]],
    targets: Targets,
    weights: Weights,
    form: StyleForm,
    content_normalization: ContentNormalization,
    key: Array,
) -> tuple[Array, LossTerms]:
    """The total loss once the activations are read.

    Args:
      readings: of each of ``uses_of``: ``ContentSums``, or a description of the style,
        see ``nstjax.describe_style``.
      roughness: the image's total variation.
      sizes: {layer: (height, width)}.
      targets: as in ``nstjax.total_loss``, like the rest and what is returned.
      weights: likewise.
      form: the style loss.
      content_normalization: likewise.
      key: likewise.
    """
    shares = (jnp.ones(()), *(region.weight for region in targets.regions))
    goals = (targets.style, *(region.style for region in targets.regions))
    content_layers: dict[str, Array] = {}
    style_layers: dict[str, Array] = {}
    for use, reading in readings.items():
        number, layer = use
        positions, channels = math.prod(sizes[layer]), layer_channels(layer)
        if number == CONTENT:
            content_layers[layer] = normalized_content(
                reading, content_normalization, positions * channels
            )
            continue
        loss = shares[number - WHOLE] * description_distance(
            reading,
            goals[number - WHOLE][layer],
            form,
            style_keys(key, use)[1],
            positions=positions,
            channels=channels,
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
    return (
        weights.content * terms.content
        + weights.style * terms.style
        + weights.tv * terms.tv,
        terms,
    )


def _weighted_sum(weights: Mapping[str, Array], losses: Mapping[str, Array]) -> Array:
    return sum((weights[layer] * losses[layer] for layer in losses), jnp.zeros(()))
