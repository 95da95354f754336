"""One run as the command drives it: from its first step to its picture."""

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nstjax.io.extras import Extras
from nstjax.optimization.steps import NonFiniteLossError, run
from nstjax.optimization.transfer import TransferInfo
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem, evaluate
from nstjax.problem.pyramid import shown_image
from nstjax.runs.checkpoints import Checkpoints, resume_from
from nstjax.runs.log import Log
from nstjax.runs.outputs import Outputs
from nstjax.runs.previews import Preview
from nstjax.runs.snapshots import Snapshots
from nstjax.runtime.interrupts import requested
from nstjax.runtime.processes import any_of_processes, to_numpy
from nstjax.runtime.progress_bar import ProgressBar


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
      image: the picture, sRGB in 0..1.
      step: how many updates it was given.
      interrupted: whether somebody stopped it before its last step.
      complete: whether all that was asked for beside the picture could be written.
      losses: the first that is logged and the last of the same scale; None where
        there are no two.
    """

    image: np.ndarray
    step: int
    interrupted: bool
    complete: bool
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
    picture does not end the run.

    Args:
      problem: from ``nstjax.prepare``.
      preset: its settings.
      outputs: what to write meanwhile.
      config: written to the working folder's config.json.
      resume: whether to go on from the working folder's checkpoint.
      begin_saving: called once there is something to save, see
        ``nstjax.runtime.interrupts.saving_on_interrupt``.

    Raises:
      InputError: the checkpoint cannot be used.
      NonFiniteLossError: the loss became NaN or infinite; its image is a picture.
    """
    extras = Extras()
    problem, rows, images = (
        resume_from(outputs.workdir, problem)
        if resume and outputs.workdir
        else (problem, [], {})
    )
    state, total = problem.state, problem.total_steps
    first = int(state.step)
    log = Log(outputs, config or {}, problem.scales, extras, first, rows)
    snapshots = Snapshots(outputs, preset, extras, problem, images)
    checkpoints = Checkpoints(outputs, log, snapshots, extras)
    every = outputs.checkpoint_every
    checkpoint_steps = range(first // every * every, total, every)
    bar = ProgressBar(total=total, initial=first, unit="step", disable=outputs.quiet)
    snapshots.keep(state, problem)
    stopping = False
    with Preview(outputs, preset) as preview:
        try:
            with bar:
                while True:
                    scale = problem.scale
                    if len(problem.scales) > 1:
                        bar.set_description(f"{scale.width}x{scale.height}")
                    stops = heapq.merge(sorted(outputs.snapshots), checkpoint_steps)
                    for state, info in run(
                        problem.steps, state, problem.data, scale.last_step, stops=stops
                    ):
                        begin_saving()
                        log.add(info)
                        bar.set_postfix_str(progress_text(info), refresh=False)
                        bar.update(len(info.loss))
                        snapshots.keep(state, problem)
                        snapshots.write()
                        if log.step % every == 0:
                            checkpoints.write(state, problem)
                        preview.renew(state, problem)
                        stopping = any_of_processes(requested())
                        if stopping:
                            break
                    following = None if stopping else problem.next_scale(state)
                    if following is None:
                        break
                    problem, state = following, following.state
            checkpoints.write(state, problem)
            last, step = to_numpy(state.image), log.step
            shown = to_numpy(shown_image(state, preset.keep))
            state, info = evaluate(problem, state)
            if preset.keep == "best":
                shown = to_numpy(state.best_image)
            if step == total:
                log.add(info)
                checkpoints.write_run(last, step)
        except NonFiniteLossError as error:
            error.image = finish(error.image, preset, problem.original)
            raise
    return Outcome(
        finish(shown, preset, problem.original),
        step,
        interrupted=step < total,
        complete=not extras.missing,
        losses=log.first_and_last_loss(),
    )


def progress_text(info: TransferInfo) -> str:
    """The last row's losses for the progress bar."""
    return (
        f"total {info.loss[-1]:.4g}, content {info.terms.content[-1]:.4g}, "
        f"style {info.terms.style[-1]:.4g}, tv {info.terms.tv[-1]:.4g}"
    )
