"""What a run writes as it goes on: log, snapshots, preview, run.h5 and checkpoint."""

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io import run_log
from nstjax.io.checkpoint import checkpoint_scale, read_checkpoint, write_checkpoint
from nstjax.io.config import CONFIG, START_AGAIN, write_config
from nstjax.io.extras import Extras
from nstjax.io.images import write_image
from nstjax.io.locks import own_folder
from nstjax.io.stored import damaged
from nstjax.optimization.transfer import TransferInfo, TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem
from nstjax.runs.outputs import Outputs
from nstjax.runtime.processes import any_of_processes, is_first_process, to_numpy

LOGGER = logging.getLogger("nstjax")
CHECKPOINT = "checkpoint.safetensors"
FILES = (CONFIG, run_log.METRICS, run_log.RUN, CHECKPOINT)

Begun = tuple[Problem, list[run_log.Row], dict[int, np.ndarray]]


def resume_from(folder: Path, problem: Problem) -> Begun:
    """The problem from a folder's checkpoint on, and the log and snapshots before it.

    Without a checkpoint the run begins.
    """
    path, images = folder / CHECKPOINT, {}
    if path.exists():
        if scale := checkpoint_scale(path, len(problem.scales)):
            problem = problem.at_scale(scale, None)
        state = read_checkpoint(path, problem.state)
        _, _, first, last = problem.scale
        if not first <= (step := int(state.step)) <= last:
            raise damaged(path, f"step {step}, expected {first}..{last}", START_AGAIN)
        if not np.isfinite(to_numpy(state.image)).all():
            raise damaged(path, "an image that is not finite", START_AGAIN)
        problem = problem._replace(state=state)
        images = run_log.read_snapshots(folder, step)
    return problem, run_log.read_metrics(folder, int(problem.state.step)), images


class RunFiles(contextlib.ExitStack):
    """Writes what a run has so far; what cannot be written does not end the run.

    The preview is removed when the block ends.

    Attributes:
      config: what config.json holds.
      step: how many updates the image has had.
      rows: of the logged steps so far, those of a resumed run included.
      images: {step: image in the network's units} of the snapshots so far.
      extras: what could not be written.
    """

    def __init__(
        self, outputs: Outputs, preset: Preset, config: dict[str, Any], begun: Begun
    ):
        super().__init__()
        problem, self.rows, self.images = begun
        self.outputs, self.preset, self.config = outputs, preset, config
        self.step = int(problem.state.step)
        self.extras = Extras()
        self._scales = problem.scales
        self._rows_written: int | None = None
        self._unwritten: dict[Path, np.ndarray] = {}
        # A run without a preview is complete all the same.
        self._preview_extras = Extras()
        self._has_preview_folder = False
        self._renewed = time.monotonic()
        self._started = self._renewed - (self.rows[-1]["seconds"] if self.rows else 0)
        for step in outputs.snapshots:
            if step > problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < self.step and step not in self.images:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)
        self._keep_snapshot(problem.state, problem)

    def log(self, info: TransferInfo) -> None:
        """Log the losses of the images since the last call."""
        seconds = time.monotonic() - self._started
        every, last = self.outputs.log_every, self._scales[-1].last_step
        self.rows += [
            row
            for row in run_log.metrics_rows(info, self.step, seconds)
            if row["step"] % every == 0 or row["step"] == last
        ]
        self.step += len(info.loss)
        with self.extras.writing("the log"):
            self._write_log()

    def write(self, state: TransferState, problem: Problem) -> None:
        """Write the snapshot, checkpoint and preview that it is time for."""
        self._keep_snapshot(state, problem)
        self._write_snapshots()
        if self.step % self.outputs.checkpoint_every == 0:
            self.write_checkpoint(state, problem)
        seconds, now = self.outputs.preview_seconds, time.monotonic()
        if seconds and any_of_processes(now - self._renewed >= seconds):
            self._renewed = now
            image = to_numpy(state.image)
            if is_first_process():
                with self._preview_extras.writing("the preview"):
                    self._write_preview(finish(image, self.preset, problem.original))

    def write_checkpoint(self, state: TransferState, problem: Problem) -> None:
        """Write run.h5 and the checkpoint, in this order: it may be killed between."""
        self._write_snapshots()
        if folder := self.outputs.workdir:
            whole = jax.tree.map(to_numpy, state)
            self.write_run(whole.image, self.step)
            if is_first_process():
                with self.extras.writing("a checkpoint"):
                    self._write_log()
                    scale = problem.scale_index
                    write_checkpoint(folder / CHECKPOINT, whole, scale)

    def write_run(self, image: np.ndarray, steps: int) -> None:
        """Write run.h5 with the log so far and this image, of so many updates."""
        if (folder := self.outputs.workdir) and is_first_process():
            with self.extras.writing(run_log.RUN):
                self._write_log()
                log = self.config, self.rows, self.images
                run_log.write_run(folder, *log, image, steps)

    def first_and_last_loss(self) -> tuple[float, float] | None:
        """The first total loss and the last of the same scale; None without two."""
        end = self._scales[0].last_step
        # At its last step a scale's image has the next one's size.
        end += len(self._scales) == 1
        totals = [row["total"] for row in self.rows if row["step"] < end]
        return (totals[0], totals[-1]) if len(totals) > 1 else None

    def _write_log(self) -> None:
        """Write the rows that are not in metrics.jsonl yet, or could not be."""
        folder = self.outputs.workdir
        if not folder or not is_first_process():
            return
        if self._rows_written is None:
            # In this order: without config.json a killed run could not be resumed.
            write_config(folder, self.config)
            run_log.write_metrics(folder, self.rows)
        elif rows := self.rows[self._rows_written :]:
            run_log.append_metrics(folder, rows)
        self._rows_written = len(self.rows)

    def _keep_snapshot(self, state: TransferState, problem: Problem) -> None:
        step = int(state.step)
        if step in self.outputs.snapshots and step not in self.images:
            image = self.images[step] = to_numpy(state.image)
            if is_first_process():
                picture = finish(image, self.preset, problem.original)
                self._unwritten[self.outputs.snapshot(step)] = picture

    def _write_snapshots(self) -> None:
        for path, picture in list(self._unwritten.items()):
            with self.extras.writing("a snapshot"):
                write_image(path, picture, self.outputs.quality)
                del self._unwritten[path]

    def _write_preview(self, picture: np.ndarray) -> None:
        path, seconds = self.outputs.preview, self.outputs.preview_seconds
        if not self._has_preview_folder:
            if not self.enter_context(own_folder(path.parent)):
                raise InputError(f"{path.parent} is there already")
            self._has_preview_folder = True
            tqdm.write(f"nstjax: preview in {path}, renewed every {seconds:g} seconds")
        write_image(path, picture, self.outputs.quality)
