"""A training from pictures on disk to a model file, that may be killed at any time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.networks.model_file import write_model
from nstjax.feedforward.training import checkpoint, log, update
from nstjax.feedforward.training.objective import Batch, Objective, TrainingTerms
from nstjax.feedforward.training.request import (
    TrainingRequest,
    check_request,
    request_settings,
)
from nstjax.feedforward.training.setup import Setup, set_up, trained_model
from nstjax.feedforward.training.update import TrainingState
from nstjax.io import config as config_file
from nstjax.io import run_log as runlog
from nstjax.io.extras import Extras, write_somewhere
from nstjax.io.images import write_image
from nstjax.io.locks import NEW, temporary_folder
from nstjax.io.stored import damaged
from nstjax.io.workdir import one_run_in
from nstjax.runtime import processes
from nstjax.runtime.interrupts import requested, saving_on_interrupt
from nstjax.runtime.progress_bar import ProgressBar

MODEL = "model.safetensors"
SAMPLES = "samples"
CHECKPOINTS = "checkpoints"
EVENTS = "events"


class Trained(NamedTuple):
    """The model's file, None if somebody stopped the training before its end.

    ``complete`` says whether all could be written, and where it should be.
    """

    model: Path | None
    complete: bool


def train(request: TrainingRequest) -> Trained:
    """Train, or go on from the last checkpoint; the model is written to the folder.

    Nothing is written before all that can be checked has been checked.
    """
    with (
        one_run_in(request.folder),
        saving_on_interrupt("stopping after this update") as begin_saving,
    ):
        if processes.count_processes() > 1:
            # The others would wait in vain for one that ends at once.
            begin_saving()
        return _train(request, begin_saving)


def _train(request: TrainingRequest, begin_saving: Callable[[], None]) -> Trained:
    folder, steps = request.folder, request.preset.steps
    with processes.all_or_none():
        check_request(request)
        setup = set_up(request)
        settings = request_settings(request)
        begun = _has_begun(folder, settings)
        card = {**request.card, "settings": {**settings, "steps": steps}}
        # A model that cannot be written is told before the training, not after it.
        if processes.is_first_process():
            with temporary_folder(folder / MODEL) as scratch:
                model = trained_model(request, setup, setup.state, card)
                write_model(scratch / NEW, model)
    with processes.all_or_none():
        if processes.is_first_process() and not begun:
            # Before all else: without it a killed training could not go on.
            config_file.write_config(folder, {"settings": settings})
    extras = Extras()
    state = _run(request, setup, extras, begin_saving)
    if int(state.step) < steps:
        return Trained(None, not extras.missing)
    state = jax.tree.map(lambda leaf: jax.device_put(processes.to_numpy(leaf)), state)
    model = trained_model(request, setup, state, card)
    path = folder / MODEL
    if processes.is_first_process():
        half = request.half_precision
        path = write_somewhere(
            path, lambda place: write_model(place, model, half_precision=half)
        )
    return Trained(path, not extras.missing and path == folder / MODEL)


def _begin(
    request: TrainingRequest, setup: Setup, state: TrainingState
) -> tuple[TrainingState, checkpoint.Progress]:
    """The last checkpoint's state, or the first one, and what goes with it."""
    folder = request.folder / CHECKPOINTS
    found = checkpoint.last_checkpoint(folder, state)
    if found is None:
        return state, checkpoint.Progress([], 0.0, {})
    state, progress = found
    names = {"total", "gradient_norm", *TrainingTerms._fields}
    if request.adversarial_weight:
        names |= {"generator", "discriminator"}
    if int(state.step) < 0 or any(row.keys() != names for row in progress.rows):
        where = f"the checkpoint in {folder}"
        raise damaged(where, "its step or rows", config_file.START_AGAIN)
    setup.batches.restore(progress.batches)
    if int(state.step) > request.preset.steps:
        raise InputError(
            f"the training in {request.folder} has had {int(state.step)} updates: give "
            "as many steps or more"
        )
    return state, progress


def _run(
    request: TrainingRequest,
    setup: Setup,
    extras: Extras,
    begin_saving: Callable[[], None],
) -> TrainingState:
    """The updates that are left, with their log, checkpoints and sample sheets."""
    folder, steps, batches = request.folder, request.preset.steps, setup.batches
    checkpoints = folder / CHECKPOINTS
    by_picture, everywhere = update.picture_shardings(request.preset.batch_size)
    state, objective = processes.place((setup.state, setup.objective), everywhere)
    state, progress = _begin(request, setup, state)
    state, first = processes.place(state, everywhere), int(state.step)
    rows, started = progress.rows, time.monotonic() - progress.seconds
    writes, unwritten = processes.is_first_process(), list[log.Row]()
    if writes:
        runlog.restart_metrics(folder, first + 1, runlog.LoggedStep)
    weight = jnp.float32(request.adversarial_weight)
    events = folder / EVENTS if request.tensorboard and writes else None
    with (
        ProgressBar(total=steps, initial=first, unit="step", disable=not writes) as bar,
        log.event_writer(events, first + 1, extras) as write_events,
    ):
        for step in range(first + 1, steps + 1):
            batch = Batch(**jax.device_put(next(batches), by_picture))
            state, info = setup.training.step(state, batch, objective, weight)
            update.check_finite(info, step)
            begin_saving()
            stopping = processes.any_of_processes(requested())
            # A mean with an update that was left out would be no number.
            if not info.nonfinite:
                rows.append(log.step_row(info))
            bar.update()
            row: log.Row = {}
            if rows and (step % request.log_every == 0 or step == steps):
                row = log.mean_row(rows)
                rows = []
                bar.set_postfix(loss=f"{row['total']:.4g}")
            if step % request.sample_every == 0 or step == steps:
                row |= _validate(request, setup, state, objective, step, extras)
            seconds = time.monotonic() - started
            if row:
                row = {"step": step, **row, "skipped": len(batches.skipped)}
                row["seconds"] = round(seconds, 3)
                if writes:
                    unwritten.append(row)
                    with extras.writing("the log"):
                        runlog.append_metrics(folder, unwritten)
                        unwritten.clear()
                write_events(row)
            saving = step % request.checkpoint_every == 0 or step == steps or stopping
            if saving and writes:
                progress = checkpoint.Progress(rows, seconds, batches.state())
                with extras.writing("a checkpoint"):
                    checkpoint.save_checkpoint(checkpoints, step, state, progress)
            if stopping:
                break
    return state


def _validate(
    request: TrainingRequest,
    setup: Setup,
    state: TrainingState,
    objective: Objective,
    step: int,
    extras: Extras,
) -> log.Row:
    """The loss on photos that are held out, and a sheet of some of them."""
    losses, outputs = dict[str, log.Row](), list[np.ndarray]()
    for name, batch in zip(request.paintings, setup.samples, strict=False):
        loss, terms, output = setup.training.evaluate(state, batch, objective)
        losses[name] = {"total": float(loss), **log.term_row(terms)}
        outputs.append(processes.to_numpy(output))
    if processes.is_first_process():
        path = request.folder / SAMPLES / f"{step:06}.png"
        photos = np.asarray(setup.samples[0].content)
        with extras.writing("a sheet of samples"):
            path.parent.mkdir(exist_ok=True)
            write_image(path, log.sample_sheet(photos, outputs, list(losses)))
    return {"validation": losses}


def _has_begun(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether there is something to go on with; of another training, an error."""
    folders = (CHECKPOINTS, SAMPLES, EVENTS)
    written = [folder / name for name in (runlog.METRICS, *folders, MODEL)]
    inside = (path for name in folders for path in (folder / name).glob("*"))
    return config_file.has_begun(folder, settings, written, inside)
