"""Instance normalization, with one γ and β for each style."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

Moments = tuple[Array, Array]  # mean and variance, [batch, channels] each


class StyleTable(nnx.Param):
    """A parameter with one row for each style: all that is trained for a new one."""


class InstanceNorm(nnx.Module):
    """(x - μ)/√(σ² + ε) · γ + β with μ and σ² of each picture's each channel.

    γ and β are Σ_s w_s γ_s, Σ_s w_s β_s over the styles: a row of the tables where w is
    one-hot, a mixture of styles else. The variance is biased.

    ``gamma`` and ``beta`` are [styles, channels].

    Source:
      Ulyanov et al. (2016); Dumoulin et al. (2017), equation 5.
    """

    def __init__(self, channels: int, styles: int, epsilon: float):
        self.gamma = StyleTable(jnp.ones((styles, channels)))
        self.beta = StyleTable(jnp.zeros((styles, channels)))
        self.epsilon = epsilon

    def __call__(
        self, activation: Array, style: Array, moments: Moments | None = None
    ) -> Array:
        """Normalize [batch, height, width, channels] with w of [batch, styles].

        ``moments`` are μ and σ² where they are known of more than is given.
        """
        moments = moments or instance_statistics(activation)
        gamma = jnp.matmul(style, self.gamma[...], precision="highest")
        beta = jnp.matmul(style, self.beta[...], precision="highest")
        return normalize(activation, moments, self.epsilon, gamma, beta)


def instance_statistics(activation: Array) -> Moments:
    """Mean and biased variance over height and width.

    The mean of the rows' variances plus the variance of the rows' means: in float32
    more exact than long sums, and two to three times faster on a CPU.
    """
    means = activation.mean(2)
    variances = jnp.square(activation - means[:, :, None, :]).mean(2)
    mean = means.mean(1)
    between = jnp.square(means - mean[:, None, :]).mean(1)
    return mean, variances.mean(1) + between


def normalize(
    activation: Array, moments: Moments, epsilon: float, gamma: Array, beta: Array
) -> Array:
    """(x - μ)/√(σ² + ε) · γ + β, with γ and β of [batch, channels]."""
    mean, variance = moments
    scale = gamma / jnp.sqrt(variance + epsilon)
    shift = beta - mean * scale
    return activation * scale[:, None, None, :] + shift[:, None, None, :]
