"""Maximum mean discrepancy: how far two sets of samples are apart, seen by a kernel."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.statistics.gram import gram_sums
from nstjax.statistics.normalization import LayerSize
from nstjax.statistics.sampling import SAMPLES, Sampled, Samples, as_many
from nstjax.statistics.statistic import Statistic, StatisticContext, channel_sums

Kernel = Callable[[Array, Array], Array]  # [m, channels], [n, channels] -> [m, n]
ALL_PAIRS_SAMPLES = 2048  # positions of a layer, for a sum over all pairs


class LinearMmd(Statistic):
    """1e4/N Σ_c (Δμ_c)², μ_c the mean of a channel: the kernel xᵀy."""

    factor = 1e4

    def gather(self, activation: Array, context: StatisticContext) -> Array:
        """Σ_k T_k² F_k."""
        return channel_sums(activation, context.guide)


class PolynomialMmd(Statistic):
    """¼/N² Σ (ΔG)²: the kernel (xᵀy)², which makes Gatys' E_l.

    G is over hw, whatever the preset's normalization: ``loss`` sees to that.
    """

    factor = 0.25

    def gather(self, activation: Array, context: StatisticContext) -> Array:
        """Σ_k T_k² F_k F_kᵀ."""
        return gram_sums(activation, context.guide, context.split_rows)

    def weight(self, layer: LayerSize) -> float:
        """The factor over N."""
        return self.factor / layer.channels


class GaussianMmd(Sampled):
    """7.5e14/(N M) MMD² with the kernel exp(-|x - y|²/mean |x - y|²).

    Over random pairs, unbiased, in linear time.
    """

    factor = 7.5e14
    limit = SAMPLES

    def weight(self, layer: LayerSize) -> float:
        """The factor over M."""
        return self.factor / layer.positions

    def distance(self, statistic: Samples, target: Samples, key: Array) -> Array:
        """MMD² of as many positions of both, in random order."""
        keys = jax.random.split(key, 3)
        x, y = as_many(statistic, target, keys[0], self.limit)
        x, y = jax.random.permutation(keys[1], x), jax.random.permutation(keys[2], y)
        kernel = functools.partial(gaussian_kernel, precision=gaussian_precision(x, y))
        return self.discrepancy(x, y, kernel)

    def discrepancy(self, x: Array, y: Array, kernel: Kernel) -> Array:
        """MMD² of two sets of samples."""
        return linear_time_mmd(x, y, kernel)


class FullGaussianMmd(GaussianMmd):
    """The same over all pairs of 2048 positions, unbiased."""

    limit = ALL_PAIRS_SAMPLES

    def discrepancy(self, x: Array, y: Array, kernel: Kernel) -> Array:
        """MMD² of two sets of samples."""
        return maximum_mean_discrepancy(x, y, kernel, unbiased=True)


def linear_kernel(x: ArrayLike, y: ArrayLike) -> Array:
    """k(x, y) = xᵀy of each row of ``x`` [m, c] and ``y`` [n, c], shape [m, n]."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    return jnp.matmul(x, y.T, precision="highest")


def polynomial_kernel(
    x: ArrayLike, y: ArrayLike, constant: float = 0.0, degree: int = 2
) -> Array:
    """k(x, y) = (xᵀy + constant)^degree of each row of ``x`` and ``y``, shape [m, n].

    With a constant of 0, the discrepancy of degree 2 is a distance of Gram matrices.
    """
    return (linear_kernel(x, y) + constant) ** degree


def gaussian_kernel(x: ArrayLike, y: ArrayLike, precision: ArrayLike) -> Array:
    """k(x, y) = exp(-precision ‖x - y‖²) of each row of ``x`` and ``y``, [m, n]."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    # |x|² + |y|² - 2xᵀy cancels less the nearer the samples are to 0.
    center = y.mean(0, keepdims=True)
    x, y = x - center, y - center
    squares = jnp.square(x).sum(1)[:, None] + jnp.square(y).sum(1)[None, :]
    distances = jnp.maximum(squares - 2 * linear_kernel(x, y), 0)
    return jnp.exp(-jnp.asarray(precision) * distances)


def gaussian_precision(x: ArrayLike, y: ArrayLike) -> Array:
    """1 / mean ‖a - b‖² over the pairs that ``linear_time_mmd`` compares.

    It has no gradient.

    Source:
      Demystifying Neural Style Transfer's code, ``mmd_loss.py``.
    """
    distances = [jnp.square(a - b).sum(1).mean() for a, b in _pairs(x, y)]
    mean = jnp.stack(distances).mean()
    # Samples that are all the same are no distance apart, whatever the kernel.
    return jax.lax.stop_gradient(1 / jnp.where(mean > 0, mean, 1.0))


def maximum_mean_discrepancy(
    x: ArrayLike, y: ArrayLike, kernel: Kernel, unbiased: bool = False
) -> Array:
    """MMD² = mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    With ``polynomial_kernel`` it is Σ (G_x - G_y)² of Gram matrices over the number of
    positions, 4C² times Gatys' E_l; with ``linear_kernel`` it is ‖mean x - mean y‖².
    ``unbiased`` leaves each sample's pair with itself out, which makes the mean over
    draws of the samples that of their distributions, and can be below 0.

    Source:
      Gretton et al. (2012), "A Kernel Two-Sample Test", equations 5 and 3 (unbiased);
      Li et al. (2017), "Demystifying Neural Style Transfer".
    """
    x, y = jnp.asarray(x), jnp.asarray(y)

    def mean_within(samples: Array) -> Array:
        values = kernel(samples, samples)
        if not unbiased:
            return values.mean()
        count = len(samples)
        return (values.sum() - jnp.trace(values)) / (count * (count - 1))

    return mean_within(x) + mean_within(y) - 2 * kernel(x, y).mean()


def linear_time_mmd(x: ArrayLike, y: ArrayLike, kernel: Kernel) -> Array:
    """Unbiased estimate of MMD² from n/2 pairs of samples.

    mean_i k(x_2i, x_2i+1) + k(y_2i, y_2i+1) - k(x_2i, y_2i+1) - k(x_2i+1, y_2i)

    The samples are in random order, the last of an odd number is not used, and the
    result can be below 0.

    Raises:
      InputError: if the shapes differ or hold fewer than two samples.

    Source:
      Gretton et al. (2012), "A Kernel Two-Sample Test", lemma 14.
    """

    def of_rows(a: Array, b: Array) -> Array:
        return kernel(a[None, :], b[None, :])[0, 0]

    xx, yy, xy, yx = (jax.vmap(of_rows)(a, b).mean() for a, b in _pairs(x, y))
    return xx + yy - xy - yx


def _pairs(x: ArrayLike, y: ArrayLike) -> list[tuple[Array, Array]]:
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.shape != y.shape or len(x) < 2:
        raise InputError(
            f"samples have shapes {x.shape} and {y.shape}: give the same number of "
            "both, at least 2"
        )
    even = len(x) // 2 * 2
    x0, x1, y0, y1 = x[:even:2], x[1:even:2], y[:even:2], y[1:even:2]
    return [(x0, x1), (y0, y1), (x0, y1), (x1, y0)]
