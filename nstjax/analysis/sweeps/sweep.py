"""Many runs at once: ``jit(vmap(step))`` over lanes that differ in numbers only.

    lanes = prepare_lanes(content, styles, params, preset, settings)
    sweep = make_sweep(make_transfer(preset), lanes.axes)
    results = run_lanes(sweep, lanes, preset)

Every lane is the run that ``nstjax.prepare`` makes of its setting. What all
lanes share has no lane axis; the lanes are spread over all devices.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.analysis.sweeps.batch import Lanes, lane_shardings
from nstjax.losses.objective import TransferData
from nstjax.optimization.optimizers import with_learning_rate
from nstjax.optimization.steps import CompiledSteps, compile_steps, to_host
from nstjax.optimization.transfer import StyleTransfer, TransferInfo, TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.pyramid import shown_image
from nstjax.runtime.processes import to_numpy


class LaneResults(NamedTuple):
    """How the runs ended, without padding.

    Attributes:
      log: losses of the image after 0, 1, …, steps updates, leaves [lane, steps + 1];
        NaN from ``stop_steps`` on where a run diverged.
      diverged: whether loss or gradient became NaN or infinite, [lane].
      stop_steps: after how many updates that was, else how many there were, [lane].
      images: what each run shows, in the network's units, [lane, height, width, 3]; of
        a diverged one the last image whose loss was finite.
    """

    log: TransferInfo
    diverged: np.ndarray
    stop_steps: np.ndarray
    images: np.ndarray


class CompiledSweep(NamedTuple):
    """The compiled program of a sweep.

    Attributes:
      init: (images, learning rates) -> TransferState with a lane axis on every leaf.
      steps: as ``nstjax.compile_steps`` gives them, rows [step, lane].
    """

    init: Callable[[Array, Array], TransferState]
    steps: CompiledSteps


def make_sweep(
    transfer: StyleTransfer, axes: TransferData, longest: int | None = None
) -> CompiledSweep:
    """Compile a transfer for lanes: once, whatever their numbers.

    A lane whose loss or gradient is not finite keeps its image, and with that its
    loss, to the end. Its optimizer's state matters no more and may change: to keep it
    would take the memory of L-BFGS's pairs a second time.

    Args:
      transfer: from ``nstjax.problem.problem.make_transfer``.
      axes: from ``prepare_lanes``.
      longest: the most steps per dispatch; by the device where not given.
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

    by_lane, _ = lane_shardings()
    step_lanes = jax.vmap(step, in_axes=(0, *axes))

    def sharded_step(
        state: TransferState, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        state, info = step_lanes(state, *data)
        # What comes out goes in again: another sharding would be another program.
        return jax.lax.with_sharding_constraint(state, by_lane), info

    return CompiledSweep(
        jax.jit(jax.vmap(init), out_shardings=by_lane),
        compile_steps(transfer._replace(step=sharded_step), longest),
    )


def run_lanes(
    sweep: CompiledSweep,
    lanes: Lanes,
    preset: Preset,
    *,
    callback: Callable[[int], None] = lambda steps: None,
) -> LaneResults:
    """Run all lanes for ``preset.steps`` updates, and evaluate the last images.

    Args:
      sweep: of the lanes' structure and number.
      lanes: where to start.
      preset: whose ``steps`` and ``keep`` hold.
      callback: called after every dispatch with the number of its steps; they are
        ``preset.steps + 1`` in all.
    """
    state = sweep.init(lanes.images, lanes.learning_rates)
    infos = []
    for length in _dispatches(preset.steps, sweep.steps.longest):
        state, rows = sweep.steps.advance(state, length, *lanes.data)
        infos.append(to_host(rows, length))
        callback(length)
    # A copy, as the state is donated.
    show = jax.vmap(functools.partial(shown_image, keep=preset.optimizer.keep))
    shown = np.array(to_numpy(show(state)))
    state, rows = sweep.steps.advance(state, 1, *lanes.data)
    infos.append(to_host(rows, 1))
    callback(1)
    if preset.optimizer.keep == "best":
        shown = to_numpy(state.best_image)

    log = jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[:, : lanes.filled].T, *infos
    )
    finite = np.isfinite(log.loss) & np.isfinite(log.gradient_norm)
    diverged = ~finite.all(axis=1)
    stop_steps = np.where(diverged, finite.argmin(axis=1), preset.steps)
    valid = np.arange(preset.steps + 1)[None, :] < stop_steps[:, None]
    valid |= ~diverged[:, None]
    last_finite = to_numpy(state.finite_image)
    return LaneResults(
        log=jax.tree.map(lambda leaf: np.where(valid, leaf, np.float32(np.nan)), log),
        diverged=diverged,
        stop_steps=stop_steps.astype(np.int32),
        images=np.where(
            diverged[:, None, None, None],
            last_finite[: lanes.filled],
            shown[: lanes.filled],
        ),
    )


def _dispatches(steps: int, longest: int) -> Iterator[int]:
    full, rest = divmod(steps, longest)
    return itertools.chain(itertools.repeat(longest, full), [rest] * (rest > 0))
