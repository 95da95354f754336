"""Styles as distributions: positions of a layer that are drawn anew at each step."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.statistics.statistic import Statistic, StatisticContext

SAMPLES = 16384  # positions of a layer that stand for it, where it has more


class Samples(NamedTuple):
    """A distribution as positions drawn from it.

    Attributes:
      values: [samples, channels].
      weights: [samples].
    """

    values: Array
    weights: Array


class Sampled(Statistic):
    """What the statistics that draw positions have in common."""

    sampled = True

    def draw(
        self, size: tuple[int, int], guide: Array | None, key: Array
    ) -> Array | None:
        """The positions, row by row, whose probabilities are T²; None for all."""
        rows = size[0] * size[1]
        if guide is None and rows <= SAMPLES:
            return None
        weights = None if guide is None else jnp.square(guide).ravel()
        return draw_rows(key, rows, weights, min(rows, SAMPLES))

    def gather(self, activation: Array, context: StatisticContext) -> Array:
        """The activation where positions are drawn; 0 where they lie elsewhere."""
        values = activation.reshape(-1, activation.shape[2])
        if context.drawn is not None:
            values = values[context.drawn]
        if context.inside is not None:
            values = context.inside[:, None] * values
        return values

    def finish(self, sums: Array, context: StatisticContext) -> Samples:
        """The positions drawn, of the same weight each."""
        count = len(sums)
        return Samples(sums, jnp.full(count, 1.0 / count, sums.dtype))

    def blend(self, statistics: Sequence[Samples], mixing_weights: Array) -> Samples:
        """All that were drawn, with each painting's mixing weight."""
        weights = [
            weight * samples.weights
            for weight, samples in zip(mixing_weights, statistics, strict=True)
        ]
        values = [samples.values for samples in statistics]
        return Samples(jnp.concatenate(values), jnp.concatenate(weights))


def as_many(
    image: Samples, painting: Samples, key: Array, limit: int = SAMPLES
) -> tuple[Array, Array]:
    """The same number of positions of both, at most ``limit``, in their order."""
    count = min(len(image.values), limit)
    image_key, painting_key = jax.random.split(key)
    return (
        draw_samples(image_key, image.values, None, count),
        draw_samples(painting_key, painting.values, painting.weights, count),
    )


def draw_samples(
    key: Array, values: ArrayLike, weights: ArrayLike | None, count: int
) -> Array:
    """The rows of ``values`` [rows, channels] that ``draw_rows`` draws, in order."""
    values = jnp.asarray(values)
    if weights is None and count == len(values):
        return values
    return values[draw_rows(key, len(values), weights, count)]


def draw_rows(key: Array, rows: int, weights: ArrayLike | None, count: int) -> Array:
    """Draw rows with probabilities in proportion to their weights, stratified.

    Sample i is the row that holds the (i + u_i)/count quantile of the cumulative
    weights, u_i uniform in 0..1. Where the weights are equal and there are as many
    samples as rows, each row is drawn once. A row of weight 0, or of less than 2⁻³¹ of
    the sum, is never drawn.

    Args:
      key: of ``jax.random``.
      rows: how many there are.
      weights: shape [rows], none negative and some above 0; None where all are equal.
      count: number of samples.

    Returns:
      Their indices in increasing order, shape [count].
    """
    if weights is None and count == rows:
        return jnp.arange(rows)
    # Whole numbers, because rounding errors of float32 sums would move the quantiles
    # of a million rows from one row to the next.
    if weights is None:
        share = 2**30 // rows
        end = jnp.asarray(share * rows)
    else:
        weights = jnp.asarray(weights)
        shares = jnp.round(weights * (2.0**30 / weights.sum()))
        ends = jnp.cumsum(shares.astype(jnp.int32))
        end = ends[-1]
    width, longer = end // count, end % count
    sample = jnp.arange(count)
    quantiles = (
        sample * width
        + jnp.minimum(sample, longer)
        + jax.random.randint(key, (count,), 0, width + (sample < longer))
    )
    if weights is None:
        return quantiles // share
    return jnp.searchsorted(ends, quantiles, side="right")
