"""One run as the command drives it: from its first step to its picture."""

import dataclasses
import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from nstjax.optimization.steps import NonFiniteLossError, run
from nstjax.optimization.transfer import TransferInfo
from nstjax.presets.preset import Preset
from nstjax.problem.problem import Problem, evaluate
from nstjax.problem.pyramid import shown_image
from nstjax.runs.recorder import Outputs, Recorder
from nstjax.runtime.interrupts import requested
from nstjax.runtime.processes import any_of_processes, to_numpy
from nstjax.runtime.progress_bar import ProgressBar


@dataclasses.dataclass(frozen=True)
class Outcome:
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
    complete: bool = True
    losses: tuple[float, float] | None = None


def execute(
    problem: Problem,
    preset: Preset,
    outputs: Outputs,
    *,
    config: dict[str, Any] | None = None,
    resume: bool = False,
    begin_saving: Callable[[], None] | None = None,
) -> Outcome:
    """Run a problem to its last step, or until somebody interrupts it.

    Args:
      problem: from ``nstjax.prepare``.
      preset: its settings.
      outputs: what to write meanwhile.
      config: written to the working folder's config.json.
      resume: whether to go on from the working folder's checkpoint.
      begin_saving: from ``nstjax.runtime.interrupts.saving_on_interrupt``, called once
        there is something to save; None where an interrupted run is worth nothing.

    Returns:
      The picture and how the run ended.

    Raises:
      InputError: the checkpoint cannot be used.
      NonFiniteLossError: the loss became NaN or infinite; its image is a picture.
    """
    begin_saving = begin_saving or (lambda: None)
    recorder = Recorder(problem, preset, outputs, config or {})
    state = recorder.start(resume)
    total = problem.total_steps
    bar = ProgressBar(
        total=total, initial=recorder.step, unit="step", disable=outputs.quiet
    )
    every = outputs.checkpoint_every
    checkpoints = range(recorder.step // every * every, total, every)
    stopping = False
    try:
        with bar:
            while True:
                scale = recorder.problem.scale
                if len(problem.scales) > 1:
                    bar.set_description(f"{scale.width}x{scale.height}")
                for state, info in run(
                    recorder.problem.steps,
                    state,
                    recorder.problem.data,
                    scale.last_step,
                    stops=heapq.merge(sorted(outputs.snapshots), checkpoints),
                ):
                    begin_saving()
                    recorder.log(info)
                    bar.set_postfix_str(progress_text(info), refresh=False)
                    bar.update(len(info.loss))
                    recorder.record(state)
                    stopping = any_of_processes(requested())
                    if stopping:
                        break
                following = None if stopping else recorder.problem.next_scale(state)
                if following is None:
                    break
                recorder.problem, state = following, following.state
        recorder.checkpoint(state)
        step, image = recorder.step, to_numpy(state.image)
        shown = to_numpy(shown_image(state, preset.keep))
        state, info = evaluate(recorder.problem, state)
        if preset.keep == "best":
            shown = to_numpy(state.best_image)
        if step == total:
            recorder.log(info)
            recorder.write_run(image, step)
    except NonFiniteLossError as error:
        error.image = recorder.picture(error.image)
        raise
    finally:
        recorder.remove_preview()
    return Outcome(
        recorder.picture(shown),
        step,
        interrupted=step < total,
        complete=not recorder.extras.missing,
        losses=recorder.losses(),
    )


def progress_text(info: TransferInfo) -> str:
    """The last row's losses for the progress bar."""
    return (
        f"total {info.loss[-1]:.4g}, content {info.terms.content[-1]:.4g}, "
        f"style {info.terms.style[-1]:.4g}, tv {info.terms.tv[-1]:.4g}"
    )
