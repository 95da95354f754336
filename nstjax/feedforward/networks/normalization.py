"""Instance normalization, with one γ and β for each style."""

import jax.numpy as jnp
from flax import nnx
from jax import Array


class StyleTable(nnx.Param):
    """A parameter with one row for each style: all that is trained for a new one."""


class InstanceNorm(nnx.Module):
    """(x - μ)/√(σ² + ε) · γ + β with μ and σ² of each picture's each channel.

    γ and β are Σ_s w_s γ_s, Σ_s w_s β_s over the styles: a row of the tables where w is
    one-hot, a mixture of styles else. The variance is biased.

    Attributes:
      gamma: [styles, channels].
      beta: [styles, channels].

    Source:
      Ulyanov et al. (2016); Dumoulin et al. (2017), equation 5.
    """

    def __init__(self, channels: int, styles: int, epsilon: float):
        self.gamma = StyleTable(jnp.ones((styles, channels)))
        self.beta = StyleTable(jnp.zeros((styles, channels)))
        self.epsilon = epsilon

    def __call__(self, activation: Array, style: Array) -> Array:
        """Normalize [batch, height, width, channels] with w of [batch, styles]."""
        return self.normalize(activation, *instance_statistics(activation), style)

    def normalize(
        self, activation: Array, mean: Array, variance: Array, style: Array
    ) -> Array:
        """Normalize with statistics that are known, [batch, channels] each."""
        gamma = jnp.matmul(style, self.gamma[...], precision="highest")
        beta = jnp.matmul(style, self.beta[...], precision="highest")
        scale = gamma / jnp.sqrt(variance + self.epsilon)
        shift = beta - mean * scale
        return activation * scale[:, None, None, :] + shift[:, None, None, :]


def instance_statistics(activation: Array) -> tuple[Array, Array]:
    """Mean and biased variance over height and width, [batch, channels] each."""
    mean = activation.mean((1, 2))
    variance = jnp.square(activation - mean[:, None, None, :]).mean((1, 2))
    return mean, variance
