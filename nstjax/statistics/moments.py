"""Mean and standard deviation of each channel."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.statistics.statistic import Statistic, StatisticContext, channel_sums


class Moments(NamedTuple):
    """First two moments of each channel over the positions.

    Attributes:
      mean: shape [channels].
      deviation: standard deviation, shape [channels].
    """

    mean: Array
    deviation: Array


class ChannelMoments(Statistic):
    """1e3/N Σ_c (Δμ_c)² + (Δσ_c)²: Demystifying's batch-norm statistics."""

    centered = True
    factor = 1e3

    def gather(
        self, activation: Array, context: StatisticContext
    ) -> tuple[Array, Array]:
        """Σ_k T_k² F_k and Σ_k T_k² (F_k - s)²."""
        centered, guide = activation - context.center[None, None, :], context.guide
        squares = channel_sums(jnp.square(centered), guide)
        return channel_sums(activation, guide), squares

    def finish(self, sums: tuple[Array, Array], context: StatisticContext) -> Moments:
        """See ``moments``."""
        mean, second = super().finish(sums, context)
        variance = second - jnp.square(mean - context.center)
        return Moments(mean, jnp.sqrt(variance + 1e-6))


def moments(activation: ArrayLike, guide: ArrayLike | None = None) -> Moments:
    """Mean and standard deviation of each channel.

    μ_c = mean_k T_k² F_kc,  σ_c = sqrt(mean_k T_k² (F_kc - μ_c)² + 1e-6), with T = 1
    without a guide. The 1e-6 keeps the gradient finite where a channel is constant.

    Args:
      activation: F, shape [height, width, channels].
      guide: see ``nstjax.gram_matrix``.

    Returns:
      Both [channels], in float32 or wider.

    Raises:
      InputError: if the guide has another size than the activation.

    Source:
      Li et al. (2017), "Demystifying Neural Style Transfer" (batch normalization
      statistics); Huang and Belongie (2017), AdaIN's style loss and its 1e-6.
    """
    described: Moments = ChannelMoments().describe(activation, guide=guide)
    return described
