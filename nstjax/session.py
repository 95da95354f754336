"""One run as the command drives it: progress, log, snapshots, checkpoints, Ctrl-C."""

import contextlib
import dataclasses
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from nstjax.control.pyramid import shown_image
from nstjax.distributed import any_process, on_host
from nstjax.errors import InputError
from nstjax.io import runlog
from nstjax.io.atomic import TEMPORARY_PREFIX
from nstjax.io.checkpoint import checkpoint_scale, read_checkpoint, write_checkpoint
from nstjax.io.images import write_image
from nstjax.io.stored import damaged, short_json
from nstjax.pictures import finish
from nstjax.preset import Preset
from nstjax.problem import Problem, evaluate
from nstjax.steps import NonFiniteLossError, run
from nstjax.transfer import TransferInfo, TransferState

LOGGER = logging.getLogger("nstjax")
CHECKPOINT = "checkpoint.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a run writes beside its result.

    Attributes:
      snapshots: steps whose image is written.
      snapshot_path: where snapshots go, but for the step in their names.
      preview: path of the image that is refreshed while the run lasts, or None.
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
      image: the picture, sRGB in 0..1.
      step: how many updates it was given.
      interrupted: whether somebody stopped it before its last step.
    """

    image: np.ndarray
    step: int
    interrupted: bool


def check_resumable(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ``InputError`` unless the run in the folder had the same settings.

    The last scale's steps may have grown: a longer run has the same beginning.

    Args:
      folder: of the run.
      settings: of a transfer, with ``scales``: [height, width, first step, last step]
        of each.
    """
    before = runlog.read_config(folder)["settings"]
    now = json.loads(json.dumps(settings))
    names = before.keys() | now.keys()
    if _same_beginning(before.get("scales", []), now.get("scales", [])):
        names -= {"steps", "pyramid_steps", "scales"}
    changed = [
        f"{name} was {short_json(before.get(name))}, is {short_json(now.get(name))}"
        for name in sorted(names)
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise InputError(
            f"the run in {folder} had other settings ({'; '.join(changed)}): resume it "
            "with the same flags or choose another --workdir"
        )


def _same_beginning(before: list[list[int]], now: list[list[int]]) -> bool:
    if not now or len(before) != len(now) or before[:-1] != now[:-1]:
        return False
    return before[-1][:3] == now[-1][:3] and before[-1][3] <= now[-1][3]


def _check_state(path: Path, state: TransferState, problem: Problem) -> None:
    """Raise ``InputError`` for a state that no step of the problem's scale left."""
    first, last = problem.scale.first_step, problem.scale.last_step
    if not first <= int(state.step) <= last:
        raise damaged(
            path, f"step {state.step}, expected {first}..{last}", runlog.START_AGAIN
        )
    if not np.isfinite(on_host(state.image)).all():
        raise damaged(path, "an image that is not finite", runlog.START_AGAIN)


class Recorder:
    """Everything that a run writes while it lasts.

    Attributes:
      problem: the scale that is running.
      step: how many updates the image has had, as far as is logged.
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
        self._preset = preset
        self._outputs = outputs
        self._config = config
        self._rows: list[runlog.Row] = []
        self._snapshots: dict[int, np.ndarray] = {}
        self._seconds_before = 0.0
        self._started = self._previewed = time.monotonic()

    def start(self, resume: bool) -> TransferState:
        """Prepare the working folder; the state to start from."""
        folder = self._outputs.workdir
        state = self._open_folder(folder, resume) if folder else self.problem.state
        for step in self._outputs.snapshots:
            if step > self.problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < self.step and step not in self._snapshots:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)
        return state

    def _open_folder(self, folder: Path, resume: bool) -> TransferState:
        state = self.problem.state
        if resume and (folder / CHECKPOINT).exists():
            scale = checkpoint_scale(folder / CHECKPOINT, len(self.problem.scales))
            if scale:
                self.problem = self.problem.at_scale(scale, None)
            state = read_checkpoint(folder / CHECKPOINT, self.problem.state)
            self.step = int(state.step)
            _check_state(folder / CHECKPOINT, state, self.problem)
            self._snapshots = runlog.read_snapshots(folder, self.step)
        if not self._outputs.writes:
            return state
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink()
        self._rows = runlog.restart_metrics(folder, self.step)
        if self._rows:
            self._seconds_before = self._rows[-1]["seconds"]
        runlog.write_config(folder, self._config)
        return state

    def log(self, info: TransferInfo) -> None:
        """Log the losses of the images since the last call."""
        seconds = self._seconds_before + time.monotonic() - self._started
        rows = [
            row
            for row in runlog.metrics_rows(info, self.step, seconds)
            if row["step"] % self._outputs.log_every == 0
            or row["step"] == self.problem.total_steps
        ]
        self._rows.extend(rows)
        if self._outputs.workdir and self._outputs.writes:
            runlog.append_metrics(self._outputs.workdir, rows)
        self.step += len(info.loss)

    def record(self, state: TransferState) -> None:
        """Write the snapshot, checkpoint and preview that are due at this step."""
        if self.step in self._outputs.snapshots and self.step not in self._snapshots:
            image = self._snapshots[self.step] = on_host(state.image)
            self._write_picture(self._outputs.snapshot_path_at(self.step), image)
        if self.step and self.step % self._outputs.checkpoint_every == 0:
            self.checkpoint(state)
        now = time.monotonic()
        if self._outputs.preview and any_process(
            now - self._previewed >= self._outputs.preview_seconds
        ):
            self._previewed = now
            self._write_picture(self._outputs.preview, on_host(state.image))

    def _write_picture(self, path: Path, image: np.ndarray) -> None:
        if self._outputs.writes:
            write_image(path, self.picture(image), self._outputs.quality)

    def checkpoint(self, state: TransferState) -> None:
        """Write run.h5 and the checkpoint, in this order: it may be killed between."""
        if self._outputs.workdir:
            whole = jax.tree.map(on_host, state)
            self.write_run(whole.image, self.step)
            if self._outputs.writes:
                write_checkpoint(
                    self._outputs.workdir / CHECKPOINT, whole, self.problem.scale_index
                )

    def write_run(self, image: np.ndarray, steps: int) -> None:
        """Write run.h5 with the log so far and this image, of so many updates."""
        if self._outputs.workdir and self._outputs.writes:
            runlog.write_run(
                self._outputs.workdir,
                self._config,
                self._rows,
                self._snapshots,
                image,
                steps,
            )

    def picture(self, image: np.ndarray) -> np.ndarray:
        """The iterate as a picture, see ``nstjax.pictures.finish``."""
        return finish(image, self._preset, self.problem.original)

    def remove_preview(self) -> None:
        """Remove the preview, now that the result is there or the run has failed."""
        if self._outputs.preview and self._outputs.writes:
            self._outputs.preview.unlink(missing_ok=True)


def execute(
    problem: Problem,
    preset: Preset,
    outputs: Outputs,
    *,
    config: dict[str, Any] | None = None,
    resume: bool = False,
) -> Outcome:
    """Run a problem to its last step, or until somebody interrupts it.

    Args:
      problem: from ``nstjax.problem.prepare``.
      preset: its settings.
      outputs: what to write meanwhile.
      config: written to the working folder's config.json.
      resume: whether to go on from the working folder's checkpoint.

    Returns:
      The picture and how the run ended.

    Raises:
      InputError: the checkpoint cannot be used.
      NonFiniteLossError: the loss became NaN or infinite; its image is a picture.
      OSError: a file could not be written.
    """
    recorder = Recorder(problem, preset, outputs, config or {})
    state = recorder.start(resume)
    total = problem.total_steps
    bar = tqdm(total=total, initial=recorder.step, unit="step", disable=outputs.quiet)
    stops = {
        *outputs.snapshots,
        *range(outputs.checkpoint_every, total, outputs.checkpoint_every),
    }
    try:
        with interruptible() as interrupted, bar:
            recorder.record(state)
            while not interrupted():
                scale = recorder.problem.scale
                if len(problem.scales) > 1:
                    bar.set_description(f"{scale.width}x{scale.height}")
                for state, info in run(
                    recorder.problem.steps,
                    state,
                    recorder.problem.data,
                    scale.last_step,
                    stops=stops,
                ):
                    recorder.log(info)
                    bar.set_postfix_str(progress_text(info), refresh=False)
                    bar.update(len(info.loss))
                    recorder.record(state)
                    if interrupted():
                        break
                following = recorder.problem.next_scale(state)
                if interrupted() or following is None:
                    break
                recorder.problem, state = following, following.state
        recorder.checkpoint(state)
        step, image = recorder.step, on_host(state.image)
        shown = on_host(shown_image(state, preset.keep))
        state, info = evaluate(recorder.problem, state)
        if preset.keep == "best":
            shown = on_host(state.best_image)
        if step == total:
            recorder.log(info)
            recorder.write_run(image, step)
    except NonFiniteLossError as error:
        error.image = recorder.picture(error.image)
        raise
    finally:
        recorder.remove_preview()
    return Outcome(recorder.picture(shown), step, interrupted=step < total)


def progress_text(info: TransferInfo) -> str:
    """The last row's losses for the progress bar."""
    return (
        f"total {info.loss[-1]:.4g}, content {info.terms.content[-1]:.4g}, "
        f"style {info.terms.style[-1]:.4g}, tv {info.terms.tv[-1]:.4g}"
    )


@contextlib.contextmanager
def interruptible() -> Iterator[Any]:
    """Turn the first Ctrl-C (or SIGTERM) into a question that the loop can ask.

    The step under way ends first, so that nothing is left half done; a second Ctrl-C
    stops at once.

    Yields:
      A function that tells whether the signal has come, to any of the processes; all
      must ask at the same time.
    """
    received = []

    def handle(signum: int, frame: object) -> None:
        del frame
        received.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: any_process(bool(received))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
