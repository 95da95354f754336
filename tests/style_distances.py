"""A layer that is made up, and its distance from a painting's."""

from typing import get_args

import jax
import numpy as np

from nstjax.style_losses import StyleLoss, describe_style, style_distance, style_target

LOSSES = get_args(StyleLoss)
N = 10  # channels that the formulas count; the layers here have 4 of them


def activation(seed=0, shape=(5, 7, 4), scale=30.0):
    """Like a layer after its ReLU, with channels that depend on each other."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) @ rng.normal(size=(shape[2], shape[2]))
    return scale * np.maximum(values + rng.normal(size=shape[2]), 0)


def distance(
    F, P, form, key, guide=None, painting_guide=None, channels=N, description=None
):
    """E_l of a layer F from a painting's layer P, or from what is kept of it."""
    if description is None:
        description = describe_style(
            P, form, jax.random.fold_in(key, 1), guide=painting_guide, channels=channels
        )
    target = style_target(description)
    return style_distance(F, target, form, key, guide=guide, channels=channels)


# What runs once on its shapes compiles faster in one piece.
compiled_distance, value_and_gradient = (
    jax.jit(f, static_argnames=("form", "channels"))
    for f in (distance, jax.value_and_grad(distance))
)
