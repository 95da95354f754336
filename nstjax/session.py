"""One run as the command drives it: progress, log, snapshots, checkpoints, Ctrl-C."""

import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io import runlog
from nstjax.io.checkpoint import read_checkpoint, write_checkpoint
from nstjax.io.images import write_image
from nstjax.presets import Preset
from nstjax.problem import Problem, finish
from nstjax.stylize import evaluate
from nstjax.transfer import TransferInfo, TransferState, run

CHECKPOINT = "checkpoint.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logging:
    """What a run writes beside its result.

    Attributes:
      snapshots: steps whose image is written.
      snapshot_path: where a snapshot goes, with ``{step}`` in it.
      preview: path of the image that is refreshed while the run lasts, or None.
      preview_seconds: how often.
      workdir: folder of the log and the checkpoints, or None.
      checkpoint_every: steps between checkpoints.
      log_every: steps between lines of metrics.jsonl.
      quality: of JPEG and WebP images.
      quiet: whether the progress bar is left out.
    """

    snapshots: tuple[int, ...] = ()
    snapshot_path: str = ""
    preview: Path | None = None
    preview_seconds: float = 5.0
    workdir: Path | None = None
    checkpoint_every: int = 100
    log_every: int = 1
    quality: int = 95
    quiet: bool = False


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

    ``steps`` may have grown: a longer run has the same beginning.
    """
    before = runlog.read_config(folder).get("settings", {})
    now = json.loads(json.dumps(settings))
    changed = [
        f"{name} was {json.dumps(before.get(name))}, is {json.dumps(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if name != "steps" and before.get(name) != now.get(name)
    ]
    if now["steps"] < before.get("steps", 0):
        changed.append(f"steps was {before['steps']}, is {now['steps']}")
    if changed:
        raise InputError(
            f"the run in {folder} had other settings ({'; '.join(changed)}): resume it "
            "with the same flags or choose another --workdir"
        )


def execute(
    problem: Problem,
    preset: Preset,
    logging: Logging,
    *,
    config: dict[str, Any] | None = None,
    resume: bool = False,
) -> Outcome:
    """Run a problem to its last step, or until somebody interrupts it.

    Args:
      problem: from ``nstjax.problem.prepare``.
      preset: its settings.
      logging: what to write meanwhile.
      config: written to the working folder's config.json.
      resume: whether to go on from the working folder's checkpoint.

    Returns:
      The picture and how the run ended.

    Raises:
      InputError: the checkpoint cannot be used.
      NonFiniteLossError: the loss became NaN or infinite.
      OSError: a file could not be written.
    """
    folder, config = logging.workdir, config or {}
    state, rows, snapshots, seconds_before = problem.state, [], {}, 0.0
    if folder and resume and (folder / CHECKPOINT).exists():
        state = read_checkpoint(folder / CHECKPOINT, problem.state)
        snapshots = runlog.read_snapshots(folder, int(state.step))
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        rows = runlog.restart_metrics(folder, int(state.step))
        seconds_before = rows[-1]["seconds"] if rows else 0.0
        runlog.write_config(folder, config)

    started, first = time.monotonic(), int(state.step)
    done, last_preview = first, started

    def log(info: TransferInfo, first_step: int) -> None:
        seconds = seconds_before + time.monotonic() - started
        new = [
            row
            for row in runlog.metrics_rows(info, first_step, seconds)
            if row["step"] % logging.log_every == 0 or row["step"] == preset.steps
        ]
        rows.extend(new)
        if folder:
            runlog.append_metrics(folder, new)

    def picture(image: np.ndarray) -> np.ndarray:
        return finish(image, preset, problem.content_size)

    def take_snapshot(state: TransferState, step: int) -> None:
        snapshots[step] = np.asarray(state.image)
        write_image(
            logging.snapshot_path.format(step=step),
            picture(snapshots[step]),
            logging.quality,
        )

    def save(state: TransferState) -> None:
        if folder:
            runlog.write_run(folder, config, rows, snapshots, np.asarray(state.image))
            write_checkpoint(folder / CHECKPOINT, state)

    if 0 in logging.snapshots and first == 0:
        take_snapshot(state, 0)
    stops = {*logging.snapshots, *_multiples(logging.checkpoint_every, preset.steps)}
    with (
        interruptible() as interrupted,
        tqdm(
            total=preset.steps, initial=first, unit="step", disable=logging.quiet
        ) as bar,
    ):
        for state, info in run(
            problem.steps, state, problem.data, preset.steps, stops=stops
        ):
            log(info, done)
            done += len(info.loss)
            bar.set_postfix_str(progress_text(info), refresh=False)
            bar.update(len(info.loss))
            if done in logging.snapshots:
                take_snapshot(state, done)
            if done % logging.checkpoint_every == 0 and done < preset.steps:
                save(state)
            now = time.monotonic()
            if logging.preview and now - last_preview >= logging.preview_seconds:
                last_preview = now
                write_image(
                    logging.preview, picture(np.asarray(state.image)), logging.quality
                )
            if interrupted():
                break
    save(state)
    last_image = np.asarray(state.image)
    stopped = done < preset.steps
    state, info = evaluate(problem, state)
    if not stopped:
        log(info, done)
        if folder:
            runlog.write_run(folder, config, rows, snapshots, last_image)
    if logging.preview:
        logging.preview.unlink(missing_ok=True)
    best = np.asarray(state.best_image)
    return Outcome(
        picture(best if preset.keep == "best" else last_image), done, stopped
    )


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
      A function that tells whether the signal has come.
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
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _multiples(interval: int, last: int) -> range:
    return range(interval, last, interval)
