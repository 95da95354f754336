"""Squared 2-Wasserstein distance of samples, along directions."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.statistics.sampling import Sampled, Samples, as_many

SORTED_SAMPLES = 4096  # positions of a layer; sorting takes long on a CPU


class SlicedWasserstein(Sampled):
    """500/N · N mean_d |sort(F d) - sort(A d)|²/M over N random directions d.

    Published without a weight, it shares that of ``Wasserstein2``.
    """

    factor = 500.0

    def distance(self, statistic: Samples, target: Samples, key: Array) -> Array:
        """N times ``sliced_wasserstein``."""
        channels = statistic.values.shape[1]
        x, y = as_many(statistic, target, jax.random.fold_in(key, 1), SORTED_SAMPLES)
        return channels * sliced_wasserstein(x, y, self.directions(key, channels))

    def directions(self, key: Array, channels: int) -> Array:
        """Unit vectors [channels, channels]."""
        return random_directions(key, channels, channels)


class Histogram(SlicedWasserstein):
    """The same over the N channels as directions: matching of histograms."""

    def directions(self, key: Array, channels: int) -> Array:
        """Each channel's own."""
        return jnp.eye(channels)


def random_directions(key: Array, count: int, channels: int) -> Array:
    """Unit vectors of uniformly random direction, shape [count, channels]."""
    directions = jax.random.normal(key, (count, channels))
    return directions / jnp.linalg.norm(directions, axis=1, keepdims=True)


def sliced_wasserstein(x: ArrayLike, y: ArrayLike, directions: ArrayLike) -> Array:
    """Mean over directions of the distance of two distributions on a line.

    mean_d,i (sort(x·d)_i - sort(y·d)_i)², with samples x and y [n, channels] and unit
    vectors d [directions, channels].

    Raises:
      InputError: if the shapes of x and y differ.

    Source:
      Pitié et al. (2005); Heitz et al. (2021), "A Sliced Wasserstein Loss for Neural
      Texture Synthesis".
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.shape != y.shape:
        raise InputError(
            f"samples have shapes {x.shape} and {y.shape}: give the same number of both"
        )
    directions = jnp.asarray(directions)
    along_x, along_y = (
        jnp.matmul(directions, samples.T, precision="highest") for samples in (x, y)
    )
    return jnp.square(jnp.sort(along_x) - jnp.sort(along_y)).mean()
