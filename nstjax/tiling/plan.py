"""How an image is cut into windows that are computed one at a time.

A window is as large as the others, so that one compilation serves them all, and holds
the core that it is there for and what the core's positions see around it. Windows
begin at multiples of the deepest layer's stride, so that pooling pairs the same pixels
as in the whole image. The last one of an axis ends with the image: what an odd size
leaves over, and the padding at the border, are where they belong.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.network.architecture import LAYERS, PoolPadding, pooled_size, summarize


class Window(NamedTuple):
    """One window: arrays of (row, column), int32.

    Attributes:
      start: its first pixel, in the image.
      core_start: the core's first pixel, in the window.
      core_end: the pixel after the core's last, likewise.
    """

    start: np.ndarray
    core_start: np.ndarray
    core_end: np.ndarray


class TilePlan(NamedTuple):
    """The windows of an image, whose cores share it out among them.

    Attributes:
      size: (height, width) of each window.
      windows: row by row.
    """

    size: tuple[int, int]
    windows: tuple[Window, ...]


def plan_tiles(height: int, width: int, layer: str, tile: int) -> TilePlan:
    """Cut an image into cores of about ``tile`` pixels on a side.

    A window is a core and ``halo(layer)`` on each side of it.

    Args:
      height: of the image.
      width: likewise.
      layer: the deepest that is computed.
      tile: the most rows and columns of a core with others on both sides; those at the
        border are larger, as they need no halo there.

    Raises:
      InputError: ``tile`` is no multiple of the layer's stride.
    """
    multiple = stride(layer)
    if tile < multiple or tile % multiple:
        raise InputError(
            f"tile must be a positive multiple of {multiple} pixels, the stride of "
            f"{layer}, got {tile}"
        )
    axes = []
    for side in (height, width):
        slices = cover(side, -(-side // tile), halo(layer), multiple)
        axes.append(list(zip(slices, _cores(slices, multiple), strict=True)))
    windows = []
    for pair in itertools.product(*axes):
        starts = np.array([window.start for window, _ in pair], np.int32)
        core_starts = np.array([core.start for _, core in pair], np.int32)
        core_ends = np.array([core.stop for _, core in pair], np.int32)
        windows.append(Window(starts, core_starts - starts, core_ends - starts))
    height, width = (axis[0][0].stop for axis in axes)
    return TilePlan((height, width), tuple(windows))


def needs_tiles(height: int, width: int, layer: str, tile: int | None) -> bool:
    """Whether an image has more than one window."""
    return tile is not None and len(plan_tiles(height, width, layer, tile).windows) > 1


def cover(side: int, count: int, halo: int, multiple: int) -> list[slice]:
    """About ``count`` windows along an axis, of one length, the last at its end.

    Neighbors overlap by twice the halo at least, and begin at a multiple of
    ``multiple``, of which the halo is one.
    """
    step = -(-side // (count * multiple)) * multiple
    length = min(side, step + 2 * halo + side % multiple)
    starts = [*range(0, side - length, step), side - length]
    return [slice(start, start + length) for start in starts]


def stride(layer: str) -> int:
    """Pixels between neighboring positions of a layer."""
    return 2 ** pools_before(layer)


def halo(layer: str) -> int:
    """How far beyond its own pixels a position sees, rounded up to the stride."""
    (row,) = (row for row in summarize(1024, 1024) if row.name == layer)
    beyond = (row.receptive_field - stride(layer)) // 2
    return -(-beyond // stride(layer)) * stride(layer)


def pools_before(layer: str) -> int:
    """How many poolings a layer's output has gone through."""
    below = LAYERS[: LAYERS.index(layer) + 1]
    return sum(name.startswith("pool") for name in below)


def layer_size(side: Any, layer: str, pool_padding: PoolPadding) -> Any:
    """Positions of a layer along an axis of so many pixels: a number, or an array."""
    for _ in range(pools_before(layer)):
        side = pooled_size(side, pool_padding)
    return side


def _cores(windows: list[slice], multiple: int) -> list[slice]:
    """Each half of an overlap goes to the window that it lies deeper in."""
    middles = [
        (after.start + before.stop) // (2 * multiple) * multiple
        for before, after in itertools.pairwise(windows)
    ]
    return [
        slice(low, high)
        for low, high in zip([0, *middles], [*middles, windows[-1].stop], strict=True)
    ]
