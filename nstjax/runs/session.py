"""One run as the command drives it: from its first step to its picture."""

import contextlib
import heapq
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nstjax.optimization.steps import NonFiniteLossError, run
from nstjax.optimization.transfer import TransferInfo, TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem, evaluate
from nstjax.problem.pyramid import shown_image
from nstjax.runs.outputs import Outputs
from nstjax.runs.run_files import Begun, RunFiles, resume_from
from nstjax.runtime.interrupts import requested
from nstjax.runtime.processes import any_of_processes, to_numpy
from nstjax.runtime.progress_bar import ProgressBar


class Outcome(NamedTuple):
    """How a run ended: its picture, sRGB in 0..1, after so many steps."""

    image: np.ndarray
    step: int
    interrupted: bool  # whether somebody stopped it before its last step
    complete: bool  # whether all that was asked for beside the picture is written
    # The first and the last total loss of the first scale; None without two.
    losses: tuple[float, float] | None


def execute(
    problem: Problem,
    preset: Preset,
    outputs: Outputs,
    *,
    config: dict[str, Any] | None = None,
    resume: bool = False,
    begin_saving: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a problem to its last step, or until somebody interrupts it.

    Nothing is written before the first step, and what cannot be written beside the
    picture does not end the run. ``begin_saving`` is called once there is something to
    save, see ``nstjax.runtime.interrupts.saving_on_interrupt``. The image that comes
    with a ``NonFiniteLossError`` is a picture.
    """
    begun: Begun = problem, [], {}
    if resume and outputs.workdir:
        begun = resume_from(outputs.workdir, problem)
    problem, state, total = begun[0], begun[0].state, begun[0].total_steps
    done, quiet = int(state.step), outputs.quiet
    bar = ProgressBar(total=total, initial=done, unit="step", disable=quiet)
    with bar, RunFiles(outputs, preset, config or {}, begun) as files:
        for problem, state, info in _run_scales(problem, preset, outputs):
            begin_saving()
            files.log(info)
            bar.set_postfix_str(progress_text(info), refresh=False)
            if len(problem.scales) > 1:
                size = f"{problem.scale.width}x{problem.scale.height}"
                bar.set_description(size, refresh=False)
            bar.update(len(info.loss))
            files.write(state, problem)
            if any_of_processes(requested()):
                break
    files.write_checkpoint(state, problem)
    last, step = to_numpy(state.image), files.step
    shown = to_numpy(shown_image(state, preset.optimizer.keep))
    with _finished_images(preset, problem):
        state, info = evaluate(problem, state)
    if preset.optimizer.keep == "best":
        shown = to_numpy(state.best_image)
    if step == total:
        files.log(info)
        files.write_run(last, step)
    return Outcome(
        finish(shown, preset, problem.original),
        step,
        interrupted=step < total,
        complete=not files.extras.missing,
        losses=files.first_and_last_loss(),
    )


def _run_scales(
    problem: Problem, preset: Preset, outputs: Outputs
) -> Iterator[tuple[Problem, TransferState, TransferInfo]]:
    """What ``nstjax.run`` yields at each scale in turn, with the scale's problem."""
    state, total, every = problem.state, problem.total_steps, outputs.checkpoint_every
    checkpoints = range(int(state.step) // every * every, total, every)
    following: Problem | None = problem
    while following:
        problem, state = following, following.state
        stops = heapq.merge(sorted(outputs.snapshots), checkpoints)
        with _finished_images(preset, problem):
            for state, info in run(
                problem.steps, state, problem.data, problem.scale.last_step, stops=stops
            ):
                yield problem, state, info
        following = problem.next_scale(state)


@contextlib.contextmanager
def _finished_images(preset: Preset, problem: Problem) -> Iterator[None]:
    """Make a picture of the image that comes with an error."""
    try:
        yield
    except NonFiniteLossError as error:
        error.image = finish(error.image, preset, problem.original)
        raise


def progress_text(info: TransferInfo) -> str:
    """The last row's losses for the progress bar."""
    return (
        f"total {info.loss[-1]:.4g}, content {info.terms.content[-1]:.4g}, "
        f"style {info.terms.style[-1]:.4g}, tv {info.terms.tv[-1]:.4g}"
    )
