"""Small trainings of feed-forward networks: batches, a loss, and what it is of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import reference

from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.training.objective import Batch, Objective, stacked_styles
from nstjax.presets.settings import new_preset
from nstjax.problem.problem import make_weights

PARAMS = jax.tree.map(np.float32, reference.random_params())
LOSS = new_preset(
    "test",
    content_layers=("relu1_2",),
    style_layers=("relu1_1", "relu1_2"),
    style_layer_weights=(1.0, 1.0),
    gram_normalization="chw",
    alpha=0.01,
    beta=10.0,
)
NO_WEIGHT = jnp.float32(0)


def narrow(normalization, **options):
    return TransformArchitecture(
        **{"channels": (3, 4, 5), **options},
        residual_blocks=0,
        normalization=normalization,
        styles=2 if normalization == "conditional" else 1,
        # Before instance normalization it has no gradient, but for rounding.
        bias=normalization == "batch",
        pixels="0..1",
        output="sigmoid",
    )


def make_batch(seed, count=4, styles=1, painting=None):
    photos = np.random.default_rng(seed).random((count, 16, 16, 3), np.float32)
    style = jnp.arange(count, dtype=jnp.int32) % styles
    return Batch(jnp.asarray(photos), style, painting)


@functools.cache
def make_objective(styles=1):
    paintings = np.random.default_rng(9).random((2, 16, 16, 3), np.float32) ** 3
    return Objective(
        PARAMS,
        make_weights(LOSS),
        stacked_styles(PARAMS, LOSS, paintings[:styles]),
        jnp.ones(styles),
        jax.random.key(0),
    )


def leaves(tree):
    return [np.array(leaf) for leaf in jax.tree.leaves(tree)]


def changed(found, expected):
    """Whether each leaf has changed."""
    return [(one != other).any() for one, other in zip(found, expected, strict=True)]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
