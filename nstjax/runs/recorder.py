"""What a run writes while it lasts: log, snapshots, checkpoints, preview."""

import contextlib
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io import config as config_file
from nstjax.io import run_log as runlog
from nstjax.io.checkpoint import checkpoint_scale, read_checkpoint, write_checkpoint
from nstjax.io.extras import Extras
from nstjax.io.images import write_image
from nstjax.io.locks import own_folder
from nstjax.io.stored import damaged
from nstjax.optimization.transfer import TransferInfo, TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem
from nstjax.runtime.processes import any_of_processes, to_numpy

LOGGER = logging.getLogger("nstjax")
CHECKPOINT = "checkpoint.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a run writes beside its result.

    Attributes:
      snapshots: steps whose image is written.
      snapshot_path: where snapshots go, but for the step in their names.
      preview: path of the image that is renewed while the run lasts, or None; its
        folder is made for it, and removed when the run ends.
      preview_seconds: how often.
      workdir: folder of the log and the checkpoints, or None.
      checkpoint_every: steps between checkpoints.
      log_every: steps between lines of metrics.jsonl.
      quality: of JPEG and WebP images.
      quiet: whether the progress bar is left out.
      writes: whether this process is the one that writes; the others do with it what
        all must do together.
    """

    snapshots: tuple[int, ...] = ()
    snapshot_path: Path = Path("snapshot.png")
    preview: Path | None = None
    preview_seconds: float = 5.0
    workdir: Path | None = None
    checkpoint_every: int = 100
    log_every: int = 1
    quality: int = 95
    quiet: bool = False
    writes: bool = True

    def snapshot_path_at(self, step: int) -> Path:
        """Where the snapshot of a step goes."""
        name = f"{self.snapshot_path.stem}_{step:06d}{self.snapshot_path.suffix}"
        return self.snapshot_path.with_name(name)


def _check_state(path: Path, state: TransferState, problem: Problem) -> None:
    """Raise ``InputError`` for a state that no step of the problem's scale left."""
    first, last = problem.scale.first_step, problem.scale.last_step
    if not first <= int(state.step) <= last:
        raise damaged(
            path,
            f"step {state.step}, expected {first}..{last}",
            config_file.START_AGAIN,
        )
    if not np.isfinite(to_numpy(state.image)).all():
        raise damaged(path, "an image that is not finite", config_file.START_AGAIN)


class Recorder:
    """Everything that a run writes while it lasts.

    Nothing of it is written before the first step, and none of it ends the run when it
    cannot be.

    Attributes:
      problem: the scale that is running.
      step: how many updates the image has had, as far as is logged.
      extras: what could not be written.
    """

    def __init__(
        self,
        problem: Problem,
        preset: Preset,
        outputs: Outputs,
        config: dict[str, Any],
    ):
        self.problem = problem
        self.step = 0
        self.extras = Extras()
        self._preset = preset
        self._outputs = outputs
        self._config = config
        self._rows: list[runlog.Row] = []
        self._rows_written: int | None = None
        self._snapshots: dict[int, np.ndarray] = {}
        self._snapshots_to_write: dict[Path, np.ndarray] = {}
        self._seconds_before = 0.0
        self._started = self._previewed = time.monotonic()
        self._preview_folder = contextlib.ExitStack()
        self._has_preview_folder = False

    def start(self, resume: bool) -> TransferState:
        """The state to start from, of the working folder's checkpoint or the first."""
        folder, state = self._outputs.workdir, self.problem.state
        if folder and resume:
            if (folder / CHECKPOINT).exists():
                state = self._read_checkpoint(folder)
            self._rows = runlog.read_metrics(folder, self.step)
            if self._rows:
                self._seconds_before = self._rows[-1]["seconds"]
        for step in self._outputs.snapshots:
            if step > self.problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < self.step and step not in self._snapshots:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)
        self._keep_snapshot(state)
        return state

    def _read_checkpoint(self, folder: Path) -> TransferState:
        scale = checkpoint_scale(folder / CHECKPOINT, len(self.problem.scales))
        if scale:
            self.problem = self.problem.at_scale(scale, None)
        state = read_checkpoint(folder / CHECKPOINT, self.problem.state)
        self.step = int(state.step)
        _check_state(folder / CHECKPOINT, state, self.problem)
        self._snapshots = runlog.read_snapshots(folder, self.step)
        return state

    def log(self, info: TransferInfo) -> None:
        """Log the losses of the images since the last call."""
        seconds = self._seconds_before + time.monotonic() - self._started
        self._rows.extend(
            row
            for row in runlog.metrics_rows(info, self.step, seconds)
            if row["step"] % self._outputs.log_every == 0
            or row["step"] == self.problem.total_steps
        )
        self.step += len(info.loss)
        with self.extras.writing("the log"):
            self._write_log()

    def _write_log(self) -> None:
        folder = self._outputs.workdir
        if not folder or not self._outputs.writes:
            return
        if self._rows_written is None:
            # In this order: without config.json a killed run could not be resumed.
            config_file.write_config(folder, self._config)
            runlog.write_metrics(folder, self._rows)
        elif rows := self._rows[self._rows_written :]:
            runlog.append_metrics(folder, rows)
        self._rows_written = len(self._rows)

    def record(self, state: TransferState) -> None:
        """Write the snapshot, checkpoint and preview that are due at this step."""
        self._keep_snapshot(state)
        self._write_snapshots()
        if self.step % self._outputs.checkpoint_every == 0:
            self.checkpoint(state)
        now = time.monotonic()
        if self._outputs.preview and any_of_processes(
            now - self._previewed >= self._outputs.preview_seconds
        ):
            self._previewed = now
            image = to_numpy(state.image)
            if self._outputs.writes:
                with self.extras.writing("the preview"):
                    self._write_preview(self._outputs.preview, image)
            self.extras.missing.discard("the preview")

    def _keep_snapshot(self, state: TransferState) -> None:
        if self.step in self._outputs.snapshots and self.step not in self._snapshots:
            image = self._snapshots[self.step] = to_numpy(state.image)
            if self._outputs.writes:
                path = self._outputs.snapshot_path_at(self.step)
                self._snapshots_to_write[path] = self.picture(image)

    def _write_snapshots(self) -> None:
        for path, picture in list(self._snapshots_to_write.items()):
            with self.extras.writing("a snapshot"):
                write_image(path, picture, self._outputs.quality)
                del self._snapshots_to_write[path]

    def _write_preview(self, path: Path, image: np.ndarray) -> None:
        if not self._has_preview_folder:
            own = self._preview_folder.enter_context(own_folder(path.parent))
            if not own:
                raise InputError(f"{path.parent} is there already")
            self._has_preview_folder = True
            tqdm.write(
                f"nstjax: preview in {path}, renewed every "
                f"{self._outputs.preview_seconds:g} seconds"
            )
        write_image(path, self.picture(image), self._outputs.quality)

    def checkpoint(self, state: TransferState) -> None:
        """Write run.h5 and the checkpoint, in this order: it may be killed between."""
        self._write_snapshots()
        if self._outputs.workdir:
            whole = jax.tree.map(to_numpy, state)
            self.write_run(whole.image, self.step)
            if self._outputs.writes:
                with self.extras.writing("a checkpoint"):
                    self._write_log()
                    write_checkpoint(
                        self._outputs.workdir / CHECKPOINT,
                        whole,
                        self.problem.scale_index,
                    )

    def write_run(self, image: np.ndarray, steps: int) -> None:
        """Write run.h5 with the log so far and this image, of so many updates."""
        if self._outputs.workdir and self._outputs.writes:
            with self.extras.writing(runlog.RUN):
                self._write_log()
                runlog.write_run(
                    self._outputs.workdir,
                    self._config,
                    self._rows,
                    self._snapshots,
                    image,
                    steps,
                )

    def losses(self) -> tuple[float, float] | None:
        """The first loss that is logged and the last of the same scale."""
        end = self.problem.scales[0].last_step
        # At its last step a scale's image has the next one's size.
        end += len(self.problem.scales) == 1
        totals = [row["total"] for row in self._rows if row["step"] < end]
        return (totals[0], totals[-1]) if len(totals) > 1 else None

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The iterate as a picture, see ``nstjax.finish``."""
        return finish(image, self._preset, self.problem.original)

    def remove_preview(self) -> None:
        """Remove the preview, now that the result is there or the run has failed."""
        self._preview_folder.close()
