"""Arbitrary style: a photo's features with a painting's channel statistics."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.feedforward.networks.normalization import Moments, instance_statistics
from nstjax.network.architecture import PoolPadding
from nstjax.network.vgg import Params, Pool, features, preprocess

CODE_LAYER = "relu4_1"
POOLINGS = 3  # before that layer
EPSILON = 1e-5


def adaptive_instance_normalization(
    code: Array, content: Moments, style: Moments
) -> Array:
    """Give a code the channel statistics of another: t = σ_s (c - μ_c)/σ_c + μ_s.

    σ = √(variance + ε) for both, so that a picture's own statistics give it back.

    The code c is [batch, height, width, channels].

    Source:
      Huang and Belongie (2017), equation 8; σ as in naoto0804/pytorch-AdaIN, with the
      biased variance of the original.
    """
    (mean, variance), (style_mean, style_variance) = content, style
    scale = jnp.sqrt((style_variance + EPSILON) / (variance + EPSILON))
    shift = style_mean - mean * scale
    return code * scale[:, None, None, :] + shift[:, None, None, :]


def make_encoder(
    params: Params, pool: Pool, pool_padding: PoolPadding
) -> Callable[[Array], Array]:
    """From pictures [batch, height, width, 3] in 0..1 to relu4_1 of each."""

    def of_one(image: Array) -> Array:
        image = preprocess(image)
        pools: Any = {"pool": pool, "pool_padding": pool_padding}
        return features(params, image, [CODE_LAYER], **pools)[CODE_LAYER]

    return jax.vmap(of_one)


def restyled_code(content_code: Array, style_code: Array) -> Array:
    """``adaptive_instance_normalization`` with the statistics of both codes."""
    return adaptive_instance_normalization(
        content_code, instance_statistics(content_code), instance_statistics(style_code)
    )
