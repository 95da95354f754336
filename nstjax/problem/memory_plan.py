"""What a run takes of the memory at its peak, before anything is computed.

On a CPU, for the run's largest scale of P pixels:

    the process (Python, JAX, compiling) + params + pictures + state + targets + work

The state is the optimizer's, with the best and the last finite image; with L-BFGS it
holds 2·m images for m pairs. The work is the largest of what these take:

    a step: P · (A + 2 M), with L-BFGS P · (A + 3 M)
    a description of a painting, or of the photo's content: its pixels · 3 M

with A bytes per pixel of the convolutions' results up to the deepest layer, and M of
the largest of them: for VGG-19 up to relu5_1 1160 and 256. All results are kept for the
gradient; the layers of the largest have their gradients beside them. By tiles, P is a
window's pixels, two images come to it, and L-BFGS, whose turn comes after the last
tile, adds nothing. In mixed precision the work is as large, but there is more to
compile.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nstjax.errors import InputError
from nstjax.network.architecture import (
    LAYERS,
    architecture_of,
    check_layers,
    convolution_sizes,
    kernels_of,
    summarize,
)
from nstjax.network.convolution import winograd_pays
from nstjax.network.vgg import Params
from nstjax.optimization.optimizers import OPTIMIZERS
from nstjax.presets.preset import Preset
from nstjax.presets.settings import deepest_layer
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.preprocessing import style_size
from nstjax.problem.pyramid import plan_scales
from nstjax.runtime.memory import GIGABYTE, HEADROOM, array_bytes, default_budget
from nstjax.tiling.plan import needs_tiles, plan_tiles

# Measured with experiments/benchmarks/memory.py: what a process holds besides.
PROCESS_BYTES = 0.365e9
TILED_PROCESS_BYTES = 0.41e9
# What is left of compiling a convolution by Winograd's algorithm, forward and backward.
WINOGRAD_BYTES = 0.019e9
TILED_WINOGRAD_BYTES = 0.03e9
# Of what is available, where nobody says how much a run may take.
SHARE_OF_AVAILABLE = 0.8
SMALLEST_TILE = 64
PIXEL_BYTES = 12  # three numbers of float32


class Pictures(NamedTuple):
    """Sizes (height, width) of what a run works on.

    Attributes:
      photo: at the largest scale.
      paintings: likewise.
      originals: all of them as they were read.
      regions: how many.
    """

    photo: tuple[int, int]
    paintings: Sequence[tuple[int, int]]
    originals: Sequence[tuple[int, int]]
    regions: int = 0


class MemoryPlan(NamedTuple):
    """How a run fits into the memory.

    Attributes:
      tile: see ``nstjax.prepare``.
      peak_bytes: that the run takes, about.
    """

    tile: int | None
    peak_bytes: float

    def __str__(self) -> str:
        tiles = f", in tiles of {self.tile} pixels" if self.tile else ""
        return f"about {self.peak_bytes / GIGABYTE:.2f} GB of memory{tiles}"


def pictures_of(
    content: np.ndarray, styles: Sequence[np.ndarray], preset: Preset, regions: int = 0
) -> Pictures:
    """The sizes of a run's pictures, at its largest scale."""
    last = plan_scales((content.shape[0], content.shape[1]), preset)[-1]
    return Pictures(
        (last.height, last.width),
        [style_size(style, last, last, preset) for style in styles],
        [(image.shape[0], image.shape[1]) for image in (content, *styles)],
        regions,
    )


def choose_tile(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    params: Params,
    preset: Preset,
    *,
    regions: int = 0,
    memory_gb: float | None = None,
    tile: int | None = None,
    mesh: Mesh | None = None,
) -> MemoryPlan | None:
    """``plan_memory`` of a run's pictures; None over a mesh, which shares memory out.

    Raises:
      InputError: nothing fits, or options of which one takes the other's place.
    """
    if memory_gb is not None and (tile is not None or mesh is not None):
        other = "mesh" if tile is None else "tile"
        raise InputError(f"{other} takes the place of memory_gb: leave out one of them")
    if mesh is not None:
        return None
    pictures = pictures_of(content, styles, preset, regions)
    return plan_memory(pictures, params, preset, memory_gb, tile)


def plan_memory(
    pictures: Pictures,
    params: Params,
    preset: Preset,
    memory_gb: float | None = None,
    tile: int | None = None,
) -> MemoryPlan:
    """No tiles if the run fits, else the largest that do.

    Args:
      pictures: the run's.
      params: the network.
      preset: the settings.
      memory_gb: what the run may take; None: most of what is available.
      tile: where it is given, it is taken.

    Raises:
      InputError: nothing fits, or the network lacks a layer.
    """
    for layers in (preset.content_layers, preset.style_layers):
        check_layers(layers, architecture_of(params))
    own, per_pixel = _fixed_bytes(pictures, params, preset), _work(params, preset)
    winograd = _winograd_layers(params, preset)

    def plan(tile: int | None) -> MemoryPlan:
        used = needs_tiles(*pictures.photo, deepest_layer(preset), tile)
        process = TILED_PROCESS_BYTES if used else PROCESS_BYTES
        process += winograd * (TILED_WINOGRAD_BYTES if used else WINOGRAD_BYTES)
        work = _work_bytes(pictures, preset, per_pixel, tile)
        return MemoryPlan(tile if used else None, process + own + work)

    if tile is not None:
        return plan(tile)
    if memory_gb is not None and not memory_gb > 0:
        raise InputError(f"memory_gb must be more than 0, got {memory_gb}")
    budget = (
        default_budget(SHARE_OF_AVAILABLE)
        if memory_gb is None
        else GIGABYTE * memory_gb
    )
    optimizer = OPTIMIZERS[preset.optimizer.name]
    sides = [] if optimizer.evaluations > 1 else _tiles(pictures.photo)
    for side in (None, *sides):
        fitting = plan(side)
        if HEADROOM * fitting.peak_bytes <= budget:
            return fitting
    raise InputError(
        f"the run would need {HEADROOM * fitting.peak_bytes / GIGABYTE:.2f} GB of "
        f"memory{' with the smallest tiles' if sides else ''}, and "
        f"{budget / GIGABYTE:.2f} are allowed: choose a smaller size"
        f"{' or optimizer=adam' if optimizer.curvature else ''}, or allow "
        "more with memory_gb"
    )


def _tiles(photo: tuple[int, int]) -> list[int]:
    """Sides of tiles, from large to small, all of them multiples of every stride."""
    return list(range(max(photo) // 64 * 64, SMALLEST_TILE - 1, -64))


class _Work(NamedTuple):
    """Bytes for each pixel of the convolutions' results: all, and the largest."""

    all: float
    largest: float


def _work(params: Params, preset: Preset) -> _Work:
    side = 1024
    sizes = convolution_sizes(side, side, deepest_layer(preset), params)
    return _Work(4 * sum(sizes) / side**2, 4 * max(sizes) / side**2)


def _winograd_layers(params: Params, preset: Preset) -> int:
    """How many convolutions are computed by Winograd's algorithm."""
    if preset.network.precision == "float32":
        return 0
    below = LAYERS[: LAYERS.index(deepest_layer(preset)) + 1]
    return sum(
        winograd_pays(*shape[2:])
        for layer, shape in kernels_of(params).items()
        if layer in below
    )


def _work_bytes(
    pictures: Pictures, preset: Preset, work: _Work, tile: int | None
) -> float:
    deepest, optimizer = deepest_layer(preset), OPTIMIZERS[preset.optimizer.name]

    def pixels(size: tuple[int, int]) -> int:
        if tile is not None and needs_tiles(*size, deepest, tile):
            size = plan_tiles(*size, deepest, tile).size
        return math.prod(size)

    described = max(map(pixels, (pictures.photo, *pictures.paintings)))
    description = 3 * work.largest * described
    photo = math.prod(pictures.photo)
    if pixels(pictures.photo) < photo:
        step = (work.all + 2 * work.largest) * pixels(pictures.photo)
        step += 2 * PIXEL_BYTES * photo
    else:
        step = (work.all + optimizer.step_copies * work.largest) * photo
        step *= optimizer.evaluations
    return max(step, description)


def _fixed_bytes(pictures: Pictures, params: Params, preset: Preset) -> float:
    """What does not depend on tiles."""
    height, width = pictures.photo
    image = jax.ShapeDtypeStruct((height, width, 3), jnp.float32)
    state = jax.eval_shape(make_transfer(preset).init, image)
    layers = summarize(
        height,
        width,
        pool_padding=preset.network.pool_padding,
        kernels=kernels_of(params),
    )
    shapes = {row.name: row.shape for row in layers}
    content = sum(math.prod(shapes[layer]) for layer in preset.content_layers)
    guides = sum(math.prod(shapes[layer][:2]) for layer in preset.style_layers)
    pixels = [pictures.photo, *pictures.paintings, *pictures.originals]
    return (
        array_bytes(params)
        + array_bytes(state)
        + 4 * (content + pictures.regions * guides)
        + PIXEL_BYTES * sum(map(math.prod, pixels))
    )
