"""One function over a whole activation on the host, tile by tile.

A tile is read with as much around it as the function sees, and what a padding inside
the picture has spoiled is cut off. Each channel's mean and variance over the whole are
gathered on the way.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from nstjax.errors import InputError
from nstjax.feedforward.networks.normalization import Moments
from nstjax.tiling.plan import cover

Progress = Callable[[int, int], None]


class Activation(NamedTuple):
    """[height, width, channels] on the host, and what parts go through when read."""

    values: np.ndarray
    finish: Partial = Partial(jnp.asarray)


@jax.jit
def _compute(
    function: Partial,
    finishes: Sequence[Partial],
    parts: Sequence[Array],
    rows: Array,
    columns: Array,
) -> tuple[Array, Array, Array]:
    """One tile's output, and its mean and variance with weights of sum 1."""
    activations = [
        finish(part[None]) for finish, part in zip(finishes, parts, strict=True)
    ]
    output = function(*activations)[0]

    def mean_of(values: Array) -> Array:
        # Two short sums lose less to rounding than a long one.
        means = (values * columns[None, :, None]).sum(1)
        return (means * rows[:, None]).sum(0)

    mean = mean_of(output)
    return output, mean, mean_of(jnp.square(output - mean[None, None, :]))


@dataclasses.dataclass
class Tiles:
    """How many tiles every pass has along each axis, and what is done.

    ``progress`` is called after each tile with those done and those of all passes.
    """

    counts: tuple[int, int]
    passes: int
    progress: Progress | None
    done: int = 0

    def compute(
        self,
        function: Partial,
        *sources: Activation,
        halo: int = 0,
        multiple: int = 1,
    ) -> tuple[np.ndarray, Moments]:
        """A function of whole activations, and its output's mean and variance.

        The function is of [1, height, width, channels] from each source. All tiles have
        one shape, so that one compilation serves. Each starts at a multiple of
        ``multiple`` positions and has a halo; padding may spoil no more than that.
        """
        values, finishes = zip(*sources, strict=True)
        sides = values[0].shape[:2]
        windows = [
            cover(side, count, halo, multiple)
            for side, count in zip(sides, self.counts, strict=True)
        ]

        def output_shape(sides: Sequence[int]) -> tuple[int, ...]:
            shapes = [(1, *sides, source.shape[2]) for source in values]
            parts = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
            return jax.eval_shape(function, *parts).shape[1:]

        whole = output_shape(sides)
        part = output_shape([axis[0].stop for axis in windows])
        tiles = list(itertools.product(*map(_kept, windows, sides, whole, part)))
        result = np.empty(whole, np.float32)
        areas, means, variances = [], [], []
        for number, axes in enumerate(tiles, start=1):
            read, inner, kept = zip(*axes, strict=True)
            output, mean, variance = _compute(
                function,
                finishes,
                [source[read] for source in values],
                *map(_uniform, inner, part),
            )
            result[kept] = np.asarray(output)[inner]
            areas.append(result[kept][..., 0].size)
            means.append(np.asarray(mean, np.float64))
            variances.append(np.asarray(variance, np.float64))
            if self.progress:
                share = number * math.prod(self.counts) // len(tiles)
                self.progress(self.done + share, self.passes * math.prod(self.counts))
        self.done += math.prod(self.counts)
        mean = np.average(means, 0, areas)
        variance = np.average(variances + (means - mean) ** 2, 0, areas)
        return result, (jnp.float32(mean)[None], jnp.float32(variance)[None])


def count_tiles(height: int, width: int, tile: int) -> tuple[int, int]:
    """How many tiles there are along each axis; ``InputError`` for none."""
    if tile < 1:
        raise InputError(f"tile must be 1 or more pixels, got {tile}")
    return -(-height // tile), -(-width // tile)


def _kept(
    windows: list[slice], side: int, output: int, part: int
) -> list[tuple[slice, slice, slice]]:
    """Each window, what is kept of its output, and where in the output that belongs.

    Each half of an overlap is kept from the window that it lies deeper in.
    """
    slack = side - windows[0].stop
    offsets = [window.start * (output - part) // max(1, slack) for window in windows]
    middles = [(low + high + part) // 2 for low, high in itertools.pairwise(offsets)]
    return [
        (window, slice(low - offset, high - offset), slice(low, high))
        for window, offset, low, high in zip(
            windows, offsets, [0, *middles], [*middles, output], strict=True
        )
    ]


def _uniform(inner: slice, length: int) -> np.ndarray:
    """Weights of sum 1 of an axis's inner part."""
    weights = np.zeros(length, np.float32)
    weights[inner] = 1 / (inner.stop - inner.start)
    return weights
