"""A run's state on disk, so that it can go on: the checkpoint, and run.h5 beside it."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from nstjax.io.checkpoint import checkpoint_scale, read_checkpoint, write_checkpoint
from nstjax.io.config import START_AGAIN
from nstjax.io.extras import Extras
from nstjax.io.run_log import RUN, Row, read_metrics, read_snapshots, write_run
from nstjax.io.stored import damaged
from nstjax.optimization.transfer import TransferState
from nstjax.problem.problem import Problem
from nstjax.problem.pyramid import Scale
from nstjax.runs.log import Log
from nstjax.runs.previews import Snapshots
from nstjax.runtime.processes import is_first_process, to_numpy

CHECKPOINT = "checkpoint.safetensors"


def resume_from(
    folder: Path, problem: Problem
) -> tuple[Problem, list[Row], dict[int, np.ndarray]]:
    """The problem from a folder's checkpoint on, and what is logged before it.

    Returns:
      The problem, the rows of its log and its snapshots; those of a run that begins
      where the folder has no checkpoint.

    Raises:
      InputError: the checkpoint or the log cannot be used.
    """
    path, images = folder / CHECKPOINT, {}
    if path.exists():
        if scale := checkpoint_scale(path, len(problem.scales)):
            problem = problem.at_scale(scale, None)
        problem = problem._replace(state=read_checkpoint(path, problem.state))
        _check_state(path, problem.state, problem.scale)
        images = read_snapshots(folder, int(problem.state.step))
    return problem, read_metrics(folder, int(problem.state.step)), images


def _check_state(path: Path, state: TransferState, scale: Scale) -> None:
    if not scale.first_step <= int(state.step) <= scale.last_step:
        steps = f"{scale.first_step}..{scale.last_step}"
        raise damaged(path, f"step {state.step}, expected {steps}", START_AGAIN)
    if not np.isfinite(to_numpy(state.image)).all():
        raise damaged(path, "an image that is not finite", START_AGAIN)


@dataclasses.dataclass
class Checkpoints:
    """Writes what a run has so far; what cannot be written does not end the run."""

    folder: Path | None
    log: Log
    snapshots: Snapshots
    extras: Extras

    def write(self, state: TransferState, problem: Problem) -> None:
        """Write run.h5 and the checkpoint, in this order: it may be killed between."""
        self.snapshots.write()
        if not self.folder:
            return
        whole = jax.tree.map(to_numpy, state)
        self.write_run(whole.image, self.log.step)
        if is_first_process():
            with self.extras.writing("a checkpoint"):
                self.log.write()
                write_checkpoint(self.folder / CHECKPOINT, whole, problem.scale_index)

    def write_run(self, image: np.ndarray, steps: int) -> None:
        """Write run.h5 with the log so far and this image, of so many updates."""
        if not self.folder or not is_first_process():
            return
        with self.extras.writing(RUN):
            self.log.write()
            log, images = self.log, self.snapshots.images
            write_run(self.folder, log.config, log.rows, images, image, steps)
