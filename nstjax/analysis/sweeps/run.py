"""A sweep from its settings to its file, in chunks that a killed one goes on from."""

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from nstjax.analysis.sweeps import file as files
from nstjax.analysis.sweeps.batch import UNLIKE, Batch, batch_shapes
from nstjax.analysis.sweeps.file import Sweep, read_sweep, write_sweep
from nstjax.analysis.sweeps.memory import fit_sweep
from nstjax.analysis.sweeps.results import as_sweep, result_paths
from nstjax.analysis.sweeps.settings import Settings
from nstjax.analysis.sweeps.sweep import CompiledSweep, make_sweep, run_batch
from nstjax.errors import InputError
from nstjax.io.atomic import check_workdir
from nstjax.io.config import CONFIG, has_begun, read_config, write_config
from nstjax.presets.preset import Preset
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.runtime.memory import GIGABYTE, default_budget, give_back_freed_memory
from nstjax.runtime.processes import all_or_none, any_of_processes, is_first_process
from nstjax.runtime.progress_bar import ProgressBar

SWEEP = "sweep.h5"
CHUNKS = "chunks"
# In config.json.
RUNS_PER_CHUNK = "lanes_per_chunk"
# More side by side make a step hardly faster, and a killed sweep loses more.
MOST_RUNS_PER_DEVICE = 64
MOST_UNASKED = 1000
# Of the log: its chunks, what joins them, its file before it is written, and read back.
LOG_COPIES = 4


class Limits(NamedTuple):
    """What a sweep may take.

    Memory of the process, or of the accelerators; None: half of what is free. Predicted
    minutes, above which, as above 1000 settings, a sweep needs ``yes``.
    """

    memory_gb: float | None = None
    minutes: float = 60.0
    yes: bool = False


class SweepJob(NamedTuple):
    """A sweep to be run, of settings that ``check_settings`` has passed.

    ``prepare`` is ``prepare_batch`` but for its settings and size, of the same preset.
    The config is plain JSON data; its "settings" are what a resumed sweep must have in
    common, among them the "command".
    """

    prepare: Callable[..., Batch]
    preset: Preset
    settings: Settings
    folder: Path
    config: Mapping[str, Any]
    limits: Limits = Limits()


def run_sweep(job: SweepJob) -> Sweep:
    """Run the settings that are not done yet, and write sweep.h5.

    Predicted memory and time are printed; a finished chunk of settings is a file in
    the folder until sweep.h5 is there. ``InputError`` where the folder holds another
    sweep or links, or cannot be written, or this sweep exceeds its limits.
    """
    folder = job.folder
    check_workdir(folder)
    given = {"memory_gb": job.limits.memory_gb, "limit_minutes": job.limits.minutes}
    for name, value in given.items():
        if value is not None and not value >= 0:
            raise InputError(f"--{name}={value}: give a number of 0 or more")
    results = result_paths(folder, job.settings.count)
    written = [folder / SWEEP, folder / CHUNKS, *results]
    folders = {path.parent for path in results} - {folder}
    inside = [*folders, *(folder / CHUNKS).glob("*")]
    if has_begun(folder, job.config["settings"], written, inside):
        job = job._replace(config=read_config(folder))
    if not (folder / SWEEP).exists():
        fitted = _fit(job)
        job = job._replace(config={**job.config, RUNS_PER_CHUNK: fitted.size})
        _run_chunks(job, fitted)
        give_back_freed_memory()
        # The other processes read what the first one writes.
        with all_or_none():
            if is_first_process():
                whole = files.join_sweeps([read_sweep(path) for path in _chunks(job)])
                _check_complete(job, whole)
                write_sweep(folder / SWEEP, whole._replace(config=dict(job.config)))
    if is_first_process():
        with contextlib.suppress(OSError):
            for path in _chunks(job):
                path.unlink(missing_ok=True)
            (folder / CHUNKS).rmdir()
    sweep = read_sweep(folder / SWEEP)
    _check_complete(job, sweep)
    return sweep


def _check_complete(job: SweepJob, sweep: Sweep) -> None:
    """Raise ``InputError`` unless a sweep's file holds these settings and steps."""
    names, steps = job.settings.names, range(job.preset.steps + 1)
    wanted = {name: [setting[name] for setting in job.settings] for name in names}
    found = {name: values.tolist() for name, values in sweep.settings.items()}
    if found != wanted or sweep.log["step"].tolist() != list(steps):
        raise InputError(
            f"the sweep in {job.folder} holds other settings or steps than its "
            f"{CONFIG} says: choose another --workdir"
        )


def _run_chunks(job: SweepJob, fitted: CompiledSweep) -> None:
    """Say what the chunks that are missing will take, and write them."""
    missing = {path: first for path, first in _chunks(job).items() if not path.exists()}
    steps, count = len(missing) * (job.preset.steps + 1), job.settings.count
    memory = f"{fitted.peak_bytes / GIGABYTE:.2f} GB"
    print(
        f"sweep: {count} settings, {fitted.size} at a time, predicted peak memory "
        f"{memory}"
    )
    times = [time.monotonic()]
    bar = ProgressBar(total=steps, unit="step", disable=not is_first_process())

    def advance(length: int) -> None:
        bar.update(length)
        times.append(time.monotonic())
        # The first dispatch warms up.
        if len(times) != 3:
            return
        minutes = (times[2] - times[1]) / length * steps / 60
        tqdm.write(f"sweep: predicted time {minutes:.2g} minutes")
        too_much = minutes > job.limits.minutes or count > MOST_UNASKED
        if any_of_processes(too_much) and not job.limits.yes:
            raise InputError(
                f"{count} settings would take about {minutes:.2g} minutes and "
                f"{memory}: add --yes to run them"
            )

    with bar:
        for path, first in missing.items():
            give_back_freed_memory()
            chunk = list(itertools.islice(job.settings, first, first + fitted.size))
            batch = job.prepare(chunk, size=fitted.size)
            shapes = batch_shapes(batch, len(batch.images))
            if fitted.shapes is None or shapes.data != fitted.shapes.data:
                raise InputError(UNLIKE)
            results = run_batch(fitted, batch, callback=advance)
            if not is_first_process():
                continue
            # Not before: a sweep that was too long leaves nothing behind.
            job.folder.mkdir(parents=True, exist_ok=True)
            # The first of all: without it a killed sweep could not go on.
            write_config(job.folder, job.config)
            path.parent.mkdir(exist_ok=True)
            write_sweep(path, as_sweep(chunk, batch, results))


def _chunks(job: SweepJob) -> dict[Path, int]:
    """The file of each chunk, and the first of its settings."""
    count = job.settings.count
    firsts = range(0, count, job.config.get(RUNS_PER_CHUNK) or count)
    return {
        job.folder / CHUNKS / f"chunk_{number:05d}.h5": first
        for number, first in enumerate(firsts)
    }


def _fit(job: SweepJob) -> CompiledSweep:
    """The program, for as many settings at a time as the memory holds."""
    preset, count = job.preset, job.settings.count
    batch = job.prepare([next(iter(job.settings))])
    budget = default_budget()
    if job.limits.memory_gb is not None:
        budget = job.limits.memory_gb * GIGABYTE
    columns = len((*files.SCALARS, *preset.content_layers, *preset.style_layers))
    log_bytes = 4 * LOG_COPIES * count * (preset.steps + 1) * columns
    if any_of_processes(log_bytes > budget):
        raise InputError(
            f"the losses of {count} settings with {preset.steps} steps would need "
            f"{log_bytes / GIGABYTE:.2f} GB, and --memory_gb allows "
            f"{budget / GIGABYTE:.2f}: allow more, or give fewer steps"
        )
    begun = job.config.get(RUNS_PER_CHUNK)
    most = begun or MOST_RUNS_PER_DEVICE * jax.device_count()
    sweep = make_sweep(make_transfer(preset), batch.axes)
    fitted = fit_sweep(sweep, batch, count, most, budget)
    if begun and fitted.size != begun:
        raise InputError(
            f"the sweep was begun with {begun} settings at a time, which need more "
            f"than {budget / GIGABYTE:.2f} GB: allow more with --memory_gb"
        )
    return fitted
