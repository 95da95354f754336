"""How many lanes fit into memory: estimated, then compiled and counted.

A lane of h·w pixels takes about

    4 B · Σ_l f · h_l w_l c_l  +  its state  +  its data

with the sum over the convolutions up to the deepest layer that the loss sees. f is 2:
one activation is kept for the gradient, and as much again is used meanwhile; 4 for the
optimizer with a line search, whose evaluations are compiled a second time. With VGG-19
the sum makes 2.3 kB per pixel. The state of L-BFGS holds 2·m images for m pairs.

What counts in the end is what the compiler says of the program that is going to run,
to which XLA:CPU's convolutions add a scratch that it does not count: as much as the
largest of their results.
"""

import math
from typing import Any, NamedTuple

import jax

from nstjax.analysis.sweeps.batch import Lanes, lane_shapes
from nstjax.analysis.sweeps.sweep import CompiledSweep
from nstjax.errors import InputError
from nstjax.network.vgg import (
    CONV_LAYERS,
    LAYERS,
    kernel_shapes,
    layer_channels,
    summarize,
)
from nstjax.presets.preset import Preset
from nstjax.runtime.memory import (
    GIGABYTE,
    HEADROOM,
    array_bytes,
    memory_in_use,
    program_bytes,
)
from nstjax.runtime.processes import any_of_processes, smallest_of_processes

ACTIVATION_COPIES = {"adam": 2, "lbfgs": 2, "lbfgs-linesearch": 4}


class FittedSweep(NamedTuple):
    """A sweep compiled for a number of lanes.

    Attributes:
      sweep: with the compiled program as its steps.
      shapes: what ``nstjax.analysis.sweeps.batch.lane_shapes`` says of the lanes.
      size: how many settings run at a time.
      lanes: the same with the padding that the devices need.
      peak_bytes: predicted peak of the process's memory (on an accelerator: of the
        devices').
    """

    sweep: CompiledSweep
    shapes: Lanes
    size: int
    lanes: int
    peak_bytes: int


def fit_sweep(
    sweep: CompiledSweep,
    lanes: Lanes,
    preset: Preset,
    count: int,
    most: int,
    budget_bytes: float,
) -> FittedSweep:
    """Compile for chunks of equal size that a budget holds.

    Args:
      sweep: from ``make_sweep``.
      lanes: some of its lanes; only their shapes matter.
      preset: its settings.
      count: how many settings there are.
      most: of them in a chunk.
      budget_bytes: for all of the process (on an accelerator: of the devices').

    Raises:
      InputError: not even one lane for each device fits.
    """
    per_lane = estimate_lane_bytes(sweep, lanes, preset)
    available = budget_bytes - memory_in_use()
    # Every process holds its share of the lanes.
    room = smallest_of_processes(
        int(max(1, jax.process_count() * available / per_lane))
    )
    size = _equal_chunks(count, min(most, room))
    while True:
        fitted = compile_sweep(sweep, lanes, preset, size)
        if not any_of_processes(HEADROOM * fitted.peak_bytes > budget_bytes):
            return fitted
        if size == 1:
            raise InputError(
                f"{fitted.size} of the settings at a time would need "
                f"{fitted.peak_bytes / GIGABYTE:.2f} GB, and --memory_gb allows "
                f"{budget_bytes / GIGABYTE:.2f}: allow more, or choose a smaller size"
            )
        in_use = memory_in_use()
        share = (budget_bytes / HEADROOM - in_use) / (fitted.peak_bytes - in_use)
        smaller = smallest_of_processes(max(1, min(size - 1, int(size * share))))
        size = _equal_chunks(count, smaller)


def compile_sweep(
    sweep: CompiledSweep, lanes: Lanes, preset: Preset, size: int
) -> FittedSweep:
    """Compile for a number of lanes and predict the peak of the memory."""
    devices = jax.device_count()
    shapes = lane_shapes(lanes, math.ceil(size / devices) * devices)
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=shapes.images.sharding
        ),
        jax.eval_shape(sweep.init, shapes.images, shapes.learning_rates),
    )
    advance: Any = sweep.steps.advance
    compiled = advance.lower(state, 1, *shapes.data).compile()
    scratch_bytes = 0
    if jax.default_backend() == "cpu":
        largest = max(_convolution_sizes(lanes, preset))
        lanes_here = shapes.images.shape[0] // jax.process_count()
        scratch_bytes = 4 * lanes_here * largest
    return FittedSweep(
        sweep._replace(steps=sweep.steps._replace(advance=compiled)),
        shapes,
        size,
        shapes.images.shape[0],
        memory_in_use()
        + devices * program_bytes(compiled)
        + scratch_bytes
        + array_bytes(shapes.images),
    )


def estimate_lane_bytes(sweep: CompiledSweep, lanes: Lanes, preset: Preset) -> int:
    """What one lane takes, by the formula above."""
    devices = jax.device_count()
    shapes = lane_shapes(lanes, devices)
    state = jax.eval_shape(sweep.init, shapes.images, shapes.learning_rates)
    data = jax.tree.map(
        lambda axis, value: 0 if axis is None else array_bytes(value),
        shapes.axes,
        shapes.data,
        is_leaf=lambda x: x is None,
    )
    own = (array_bytes(state) + sum(jax.tree.leaves(data))) // devices
    activations = 4 * sum(_convolution_sizes(lanes, preset))
    return ACTIVATION_COPIES[preset.optimizer.name] * activations + own


def _convolution_sizes(lanes: Lanes, preset: Preset) -> list[int]:
    """Numbers in the result of each convolution that the loss needs, for one lane."""
    _, height, width, _ = lanes.images.shape
    widths = {layer: layer_channels(layer) for layer in CONV_LAYERS} | {
        layer: part["bias"].size for layer, part in lanes.data.params.items()
    }
    rows = summarize(
        height,
        width,
        pool_padding=preset.network.pool_padding,
        kernels=kernel_shapes(widths),
    )
    seen = (*preset.content_layers, *preset.style_layers)
    deepest = max(map(LAYERS.index, seen))
    return [
        math.prod(row.shape)
        for row in rows[: deepest + 1]
        if row.name.startswith("conv")
    ]


def _equal_chunks(count: int, size: int) -> int:
    return math.ceil(count / math.ceil(count / size))
