"""How well a network renders photos in the style of paintings, as VGG-19 sees it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax import Params, features, gram_matrix, preprocess, style_loss
from nstjax.feedforward.inference.restyle import Restyler
from nstjax.feedforward.training.flicker import flicker_loss, moved_photos

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
MOTIONS = 2  # of each photo, the same for all


class Description(NamedTuple):
    """What is compared of a picture: {layer: Gram matrix}, and relu4_2."""

    grams: Mapping[str, Array]
    content: Array


class Score(NamedTuple):
    """Share of the photo's style loss that is left, and relative change of content."""

    left: float
    content: float


@jax.jit
def describe(params: Params, image: Array) -> Description:
    """Gram matrices and content of a picture, sRGB in 0..1, [height, width, 3]."""
    layers = (*STYLE_LAYERS, CONTENT_LAYER)
    found = features(params, preprocess(image), layers, pool="max")
    grams = {layer: gram_matrix(found[layer], "hw") for layer in STYLE_LAYERS}
    return Description(grams, found[CONTENT_LAYER])


def total_style_loss(picture: Description, painting: Description) -> float:
    """Σ_l mean (G - A)² / N_l², which Gatys' code weights by 1000."""
    return sum(
        float(style_loss(picture.grams[layer], gram, 1, "mean_per_c2"))
        for layer, gram in painting.grams.items()
    )


def score(picture: Description, photo: Description, painting: Description) -> Score:
    """How far a picture has come from the photo to the painting's style."""
    before = total_style_loss(photo, painting)
    change = jnp.square(picture.content - photo.content).mean()
    return Score(
        total_style_loss(picture, painting) / before,
        float(change / jnp.square(photo.content).mean()),
    )


def flicker_of(
    restyler: Restyler, image: np.ndarray, result: np.ndarray, style: Any
) -> float:
    """What changes in a result where the photo moves, in levels of 0..255."""
    moved, flows = moved_photos(jax.random.key(0), jnp.stack([image] * MOTIONS))
    after = restyler(list(np.asarray(moved)), style)
    losses = flicker_loss(jnp.stack([result] * MOTIONS), jnp.stack(after), flows)
    return 255 * float(losses.mean())
