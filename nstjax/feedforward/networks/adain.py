"""Arbitrary style: a photo's features with a painting's channel statistics."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.feedforward.networks.normalization import (
    Moments,
    instance_statistics,
    normalize,
)
from nstjax.network.vgg import NetworkOptions, Params, Pool, activations_of, preprocess

CODE_LAYER = "relu4_1"
POOLINGS = 3  # before that layer
EPSILON = 1e-5

CodeStyle = tuple[Array, Array]  # mean and deviation, [batch, channels] each


def adaptive_instance_normalization(
    code: Array, style: CodeStyle, moments: Moments | None = None
) -> Array:
    """Give a code the channel statistics of another: t = σ_s (c - μ_c)/σ_c + μ_s.

    σ = √(variance + ε) for both, so that a picture's own statistics give it back.

    The code c is [batch, height, width, channels]; ``moments`` are its mean and
    variance where they are known of more than is given.

    Source:
      Huang and Belongie (2017), equation 8; σ as in naoto0804/pytorch-AdaIN, with the
      biased variance of the original.
    """
    mean, deviation = style
    moments = moments or instance_statistics(code)
    return normalize(code, moments, EPSILON, deviation, mean)


def style_of_code(code: Array) -> CodeStyle:
    """What ``adaptive_instance_normalization`` takes of a painting's code."""
    mean, variance = instance_statistics(code)
    return mean, jnp.sqrt(variance + EPSILON)


def make_encoder(params: Params, pool: Pool) -> Callable[[Array], Array]:
    """From pictures [batch, height, width, 3] in 0..1 to relu4_1 of each."""
    options = NetworkOptions(pool=pool, pool_padding="same")

    def of_one(image: Array) -> Array:
        return activations_of(params, preprocess(image), [CODE_LAYER], options)[
            CODE_LAYER
        ]

    return jax.vmap(of_one)
