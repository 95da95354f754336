"""How many runs fit into memory: estimated, then compiled and counted.

A run of h·w pixels takes about

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
from typing import Any

import jax

from nstjax.analysis.sweeps.batch import Batch, batch_shapes, map_axes
from nstjax.analysis.sweeps.sweep import CompiledSweep
from nstjax.errors import InputError
from nstjax.network.architecture import convolution_sizes
from nstjax.optimization.optimizers import OPTIMIZERS
from nstjax.presets.settings import deepest_layer
from nstjax.runtime import memory
from nstjax.runtime.memory import GIGABYTE, HEADROOM, array_bytes
from nstjax.runtime.processes import any_of_processes, smallest_of_processes


def fit_sweep(
    sweep: CompiledSweep, batch: Batch, count: int, most: int, budget_bytes: float
) -> CompiledSweep:
    """Compile for chunks of equal size, of ``most`` settings, that a budget holds.

    The budget is for all of the process (on an accelerator: of the devices'); of the
    batch only the shapes matter.
    """
    per_run = estimate_run_bytes(sweep, batch)
    available = budget_bytes - memory.memory_in_use()
    # Every process holds its share of the runs.
    room = smallest_of_processes(int(max(1, jax.process_count() * available / per_run)))
    size = _equal_chunks(count, min(most, room))
    while True:
        fitted = compile_sweep(sweep, batch, size)
        if not any_of_processes(HEADROOM * fitted.peak_bytes > budget_bytes):
            return fitted
        if size == 1:
            raise InputError(
                f"{fitted.size} of the settings at a time would need "
                f"{fitted.peak_bytes / GIGABYTE:.2f} GB, and --memory_gb allows "
                f"{budget_bytes / GIGABYTE:.2f}: allow more, or choose a smaller size"
            )
        in_use = memory.memory_in_use()
        share = (budget_bytes / HEADROOM - in_use) / (fitted.peak_bytes - in_use)
        smaller = smallest_of_processes(max(1, min(size - 1, int(size * share))))
        size = _equal_chunks(count, smaller)


def compile_sweep(sweep: CompiledSweep, batch: Batch, size: int) -> CompiledSweep:
    """Compile for so many settings at a time and predict the peak of the memory."""
    devices = jax.device_count()
    shapes = batch_shapes(batch, math.ceil(size / devices) * devices)
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
        runs_here = shapes.images.shape[0] // jax.process_count()
        scratch_bytes = 4 * runs_here * max(_convolution_sizes(batch))
    return sweep._replace(
        steps=sweep.steps._replace(advance=compiled),
        shapes=shapes,
        size=size,
        peak_bytes=memory.memory_in_use()
        + devices * memory.program_bytes(compiled)
        + scratch_bytes
        + array_bytes(shapes.images),
    )


def estimate_run_bytes(sweep: CompiledSweep, batch: Batch) -> int:
    """What one run takes, by the formula above."""
    devices = jax.device_count()
    shapes = batch_shapes(batch, devices)
    state = jax.eval_shape(sweep.init, shapes.images, shapes.learning_rates)
    data = map_axes(
        lambda axis, value: 0 if axis is None else array_bytes(value),
        *(shapes.axes, shapes.data),
    )
    own = (array_bytes(state) + sum(jax.tree.leaves(data))) // devices
    optimizer = OPTIMIZERS[batch.preset.optimizer.name]
    activations = 4 * sum(_convolution_sizes(batch))
    return optimizer.sweep_copies * activations + own


def _convolution_sizes(batch: Batch) -> list[int]:
    preset, (_, height, width, _) = batch.preset, batch.images.shape
    return convolution_sizes(
        height,
        width,
        deepest_layer(preset),
        batch.data.params,
        preset.network.pool_padding,
    )


def _equal_chunks(count: int, size: int) -> int:
    return math.ceil(count / math.ceil(count / size))
