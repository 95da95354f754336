"""Many runs at once: ``jit(vmap(step))`` over runs that differ in numbers only.

    batch = prepare_batch(content, styles, params, preset, settings)
    sweep = make_sweep(make_transfer(preset), batch.axes)
    results = run_batch(sweep, batch)

Every run of the batch is the one that ``nstjax.prepare`` makes of its setting. What
all runs share has no run axis; the runs are spread over all devices.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.analysis.sweeps.batch import RUNS, Batch
from nstjax.losses.objective import TransferData
from nstjax.optimization.optimizers import with_learning_rate
from nstjax.optimization.steps import CompiledSteps, compile_steps, to_host
from nstjax.optimization.transfer import StyleTransfer, TransferInfo, TransferState
from nstjax.problem.pyramid import shown_image
from nstjax.runtime.mesh import batch_shardings
from nstjax.runtime.processes import to_numpy


class BatchResults(NamedTuple):
    """How the runs ended, without padding.

    The log has the losses of the image after 0, 1, …, steps updates, leaves
    [run, steps + 1]. A run diverged when its loss or gradient became NaN or infinite,
    after ``stop_steps`` updates; from there on its log is NaN, and its image, in the
    network's units, [run, height, width, 3], is the last whose loss was finite.
    """

    log: TransferInfo
    diverged: np.ndarray
    stop_steps: np.ndarray
    images: np.ndarray


class CompiledSweep(NamedTuple):
    """The program of a sweep, compiled ahead for the shapes of a batch if it has some.

    ``init`` makes a TransferState with a run axis on every leaf of images and learning
    rates; the rows of ``steps`` are [step, run]. ``size`` settings run at a time,
    without padding, and ``peak_bytes`` of memory are predicted.
    """

    init: Callable[[Array, Array], TransferState]
    steps: CompiledSteps
    shapes: Batch | None = None
    size: int = 0
    peak_bytes: int = 0


def make_sweep(
    transfer: StyleTransfer, axes: TransferData, longest: int | None = None
) -> CompiledSweep:
    """Compile a transfer for batches of such axes: once, whatever their numbers.

    A run whose loss or gradient is not finite keeps its image, and with that its loss,
    to the end. Its optimizer's state matters no more and may change: to keep it would
    take the memory of L-BFGS's pairs a second time. A dispatch has ``longest`` steps at
    most; if not given, it depends on the device.
    """

    def init(image: Array, learning_rate: Array) -> TransferState:
        state = transfer.init(image)
        return state._replace(
            opt_state=with_learning_rate(state.opt_state, learning_rate)
        )

    def step(state: TransferState, *data: object) -> tuple[TransferState, TransferInfo]:
        new_state, info = transfer.step(state, *data)
        finite = jnp.isfinite(info.loss) & jnp.isfinite(info.gradient_norm)
        image, count, average = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (new_state.image, new_state.step, new_state.average),
            (state.image, state.step, state.average),
        )
        return new_state._replace(image=image, step=count, average=average), info

    by_run, _ = batch_shardings(jax.device_count(), RUNS)
    step_runs = jax.vmap(step, in_axes=(0, *axes))

    def sharded_step(
        state: TransferState, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        state, info = step_runs(state, *data)
        # What comes out goes in again: another sharding would be another program.
        return jax.lax.with_sharding_constraint(state, by_run), info

    return CompiledSweep(
        jax.jit(jax.vmap(init), out_shardings=by_run),
        compile_steps(transfer._replace(step=sharded_step), longest),
    )


def run_batch(
    sweep: CompiledSweep,
    batch: Batch,
    *,
    callback: Callable[[int], None] = lambda steps: None,
) -> BatchResults:
    """Run all for the preset's steps, and evaluate the last images.

    After every dispatch ``callback`` is called with the number of its steps; they are
    ``preset.steps + 1`` in all.
    """
    steps, keep, filled = batch.preset.steps, batch.preset.optimizer.keep, batch.filled
    state = sweep.init(batch.images, batch.learning_rates)
    infos = []
    for length in _dispatches(steps, sweep.steps.longest):
        state, rows = sweep.steps.advance(state, length, *batch.data)
        infos.append(to_host(rows, length))
        callback(length)
    # A copy, as the state is donated.
    show = jax.vmap(functools.partial(shown_image, keep=keep))
    shown = np.array(to_numpy(show(state)))
    state, rows = sweep.steps.advance(state, 1, *batch.data)
    infos.append(to_host(rows, 1))
    callback(1)
    if keep == "best":
        shown = to_numpy(state.best_image)

    log = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:, :filled].T, *infos)
    finite = np.isfinite(log.loss) & np.isfinite(log.gradient_norm)
    diverged = ~finite.all(axis=1)
    stop_steps = np.where(diverged, finite.argmin(axis=1), steps)
    valid = np.arange(steps + 1)[None, :] < stop_steps[:, None]
    valid |= ~diverged[:, None]
    return BatchResults(
        log=jax.tree.map(lambda leaf: np.where(valid, leaf, np.float32(np.nan)), log),
        diverged=diverged,
        stop_steps=stop_steps.astype(np.int32),
        images=np.where(
            diverged[:, None, None, None],
            to_numpy(state.finite_image)[:filled],
            shown[:filled],
        ),
    )


def _dispatches(steps: int, longest: int) -> Iterator[int]:
    full, rest = divmod(steps, longest)
    return itertools.chain(itertools.repeat(longest, full), [rest] * (rest > 0))
