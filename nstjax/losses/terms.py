"""The terms of the total loss: which there are, what they weigh, their random keys."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.network.architecture import LAYERS


class Region(NamedTuple):
    """A part of the image with a style of its own.

    Attributes:
      guides: {layer: T [h, w]} with mean(T²) = 1, see ``nstjax.network.guides``; a
        layer without one counts as a whole.
      style: {layer: target}.
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


class LossTerm(NamedTuple):
    """One term of a layer.

    Attributes:
      kind: "content" or "style".
      region: index in ``regions_of``, for the style.
      layer: its name.
    """

    kind: Literal["content", "style"]
    region: int
    layer: str


def regions_of(targets: Targets) -> tuple[Region, ...]:
    """The whole image, as the region whose guides are all ones, and the others."""
    return Region({}, targets.style, jnp.ones(())), *targets.regions


def terms_of(targets: Targets) -> tuple[LossTerm, ...]:
    """Each term of each layer: first the content's, then the regions'."""
    content = [LossTerm("content", 0, layer) for layer in targets.content]
    style = [
        LossTerm("style", number, layer)
        for number, region in enumerate(regions_of(targets))
        for layer in region.style
    ]
    return *content, *style


def style_terms_of(targets: Targets) -> dict[LossTerm, Array | None]:
    """The style's terms, each with its guide T [h, w]; None for ones."""
    regions = regions_of(targets)
    return {
        term: regions[term.region].guides.get(term.layer)
        for term in terms_of(targets)
        if term.kind == "style"
    }


def layers_of(targets: Targets) -> tuple[str, ...]:
    """The layers that the loss reads, in their order."""
    layers = {term.layer for term in terms_of(targets)}
    return tuple(sorted(layers, key=LAYERS.index))


def term_weight(term: LossTerm, targets: Targets, weights: Weights) -> Array:
    """What a term weighs in the total."""
    if term.kind == "content":
        return weights.content * weights.content_layers[term.layer]
    share = regions_of(targets)[term.region].weight
    return share * weights.style * weights.style_layers[term.layer]


def term_keys(key: Array, term: LossTerm) -> tuple[Array, Array]:
    """The keys of a style term's description and of its distance."""
    layer_key = jax.random.fold_in(key, LAYERS.index(term.layer))
    description_key, distance_key = jax.random.split(
        jax.random.fold_in(layer_key, term.region)
    )
    return description_key, distance_key
