"""Where the optimization starts."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.presets.preset import Noise


def sample_noise(
    key: Array, shape: tuple[int, ...], noise: Noise, scale: float
) -> Array:
    """Noise in the network's units (0..255 minus the mean).

    normal: scale · N(0, 1). uniform: U(-scale, scale). integers: uniform over the whole
    numbers -scale … scale, both ends included (MATLAB's ``randi``).

    Args:
      key: from ``jax.random.key``.
      shape: [height, width, 3].
      noise: one of the names above.
      scale: standard deviation or half range.

    Returns:
      float32 array of that shape.
    """
    if noise == "normal":
        return scale * jax.random.normal(key, shape, jnp.float32)
    if noise == "uniform":
        return jax.random.uniform(key, shape, jnp.float32, minval=-scale, maxval=scale)
    integers = jax.random.randint(key, shape, -int(scale), int(scale) + 1)
    return integers.astype(jnp.float32)


def blend_noise(image: ArrayLike, noise: ArrayLike, noise_ratio: float) -> Array:
    """x₀ = r · noise + (1 - r) · image, in the network's units.

    Args:
      image: usually the photo, shape [height, width, 3].
      noise: from ``sample_noise``, same shape.
      noise_ratio: r, in 0..1.

    Returns:
      Shape [height, width, 3].

    Source:
      The Coursera course (r = 0.6) and MATLAB's example (r = 0.7).
    """
    return noise_ratio * jnp.asarray(noise) + (1 - noise_ratio) * jnp.asarray(image)
