"""A sweep from its settings to its file, in chunks that a killed one goes on from."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from nstjax.analysis.sweeps.batch import UNLIKE, Lanes, lane_shapes
from nstjax.analysis.sweeps.file import (
    SCALARS,
    Sweep,
    join_sweeps,
    read_sweep,
    write_sweep,
)
from nstjax.analysis.sweeps.memory import FittedSweep, fit_sweep
from nstjax.analysis.sweeps.results import as_sweep, result_paths
from nstjax.analysis.sweeps.settings import Settings
from nstjax.analysis.sweeps.sweep import make_sweep, run_lanes
from nstjax.errors import InputError
from nstjax.io.atomic import check_results, check_workdir
from nstjax.io.config import CONFIG, read_config, write_config
from nstjax.io.stored import short_json
from nstjax.presets.preset import Preset
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.runtime.memory import GIGABYTE, default_budget, give_back_freed_memory
from nstjax.runtime.processes import all_or_none, any_of_processes, is_first_process
from nstjax.runtime.progress_bar import ProgressBar

SWEEP = "sweep.h5"
CHUNKS = "chunks"
LANES_PER_CHUNK = "lanes_per_chunk"
# More side by side make a step hardly faster, and a killed sweep loses more.
MOST_LANES_PER_DEVICE = 64
MOST_UNASKED = 1000
# Of the log: its chunks, what joins them, its file before it is written, and read back.
LOG_COPIES = 4


class Limits(NamedTuple):
    """What a sweep may take.

    Attributes:
      memory_gb: of the process, or of the accelerators; None: half of what is free.
      minutes: predicted; a longer sweep needs ``yes``, and so does one of more than
        1000 settings.
      yes: whether such a sweep goes on.
    """

    memory_gb: float | None = None
    minutes: float = 60.0
    yes: bool = False


def run_sweep(
    prepare: Callable[..., Lanes],
    preset: Preset,
    settings: Settings,
    folder: Path,
    config: Mapping[str, Any],
    limits: Limits,
    *,
    quiet: bool = False,
) -> Sweep:
    """Run the settings that are not done yet, and write sweep.h5.

    Predicted memory and time are printed; a finished chunk of settings is a file in
    the folder until sweep.h5 is there.

    Args:
      prepare: ``nstjax.analysis.sweeps.batch.prepare_lanes`` but for its settings and
        size.
      preset: the same that it has.
      settings: checked by ``nstjax.analysis.sweeps.settings.check_settings``.
      folder: where the files go.
      config: plain JSON data; its "settings" are what a resumed sweep must have in
        common.
      limits: what the sweep may take.
      quiet: whether the progress bar is left out.

    Raises:
      InputError: the folder holds another sweep or links, or cannot be written, or
        this sweep exceeds its limits.
    """
    check_workdir(folder)
    _check_limits(limits)
    results = result_paths(folder, settings.count)
    written = [folder / SWEEP, folder / CHUNKS, *results]
    folders = {path.parent for path in results} - {folder}
    chunks = (folder / CHUNKS).glob("*")
    check_results([folder / CONFIG, *written, *folders, *chunks])
    if (folder / CONFIG).exists():
        config = _begun_config(folder, config)
    else:
        check_results(written, new_in=folder)
    if not (folder / SWEEP).exists():
        fitted = _fit(prepare, preset, settings, config, limits)
        config = {**config, LANES_PER_CHUNK: fitted.size}
        paths = _run_chunks(
            prepare, preset, settings, folder, config, limits, fitted, quiet
        )
        give_back_freed_memory()
        # The other processes read what the first one writes.
        with all_or_none():
            if is_first_process():
                whole = join_sweeps([read_sweep(path) for path in paths])
                _check_complete(folder, whole, settings, preset)
                write_sweep(folder / SWEEP, whole._replace(config=dict(config)))
    if is_first_process():
        with contextlib.suppress(OSError):
            for path in _chunks(folder, settings, config[LANES_PER_CHUNK]):
                path.unlink(missing_ok=True)
            (folder / CHUNKS).rmdir()
    sweep = read_sweep(folder / SWEEP)
    _check_complete(folder, sweep, settings, preset)
    return sweep


def _check_complete(
    folder: Path, sweep: Sweep, settings: Settings, preset: Preset
) -> None:
    """Raise ``InputError`` unless a sweep's file holds these settings and steps."""
    wanted = [tuple(setting[name] for name in settings.names) for setting in settings]
    columns = [sweep.settings.get(name, np.zeros(0)) for name in settings.names]
    found = list(zip(*(column.tolist() for column in columns), strict=False))
    steps = sweep.log["step"].tolist()
    if (
        found != wanted
        or set(sweep.settings) != set(settings.names)
        or steps != list(range(preset.steps + 1))
    ):
        raise InputError(
            f"the sweep in {folder} holds other settings or steps than its {CONFIG} "
            "says: choose another --workdir"
        )


def _run_chunks(
    prepare: Callable[..., Lanes],
    preset: Preset,
    settings: Settings,
    folder: Path,
    config: Mapping[str, Any],
    limits: Limits,
    fitted: FittedSweep,
    quiet: bool,
) -> list[Path]:
    """Write the chunks that are missing; returns the paths of all."""
    size = fitted.size
    first_of = _chunks(folder, settings, size)
    missing = [path for path in first_of if not path.exists()]
    steps = len(missing) * (preset.steps + 1)
    forecast = _Forecast(settings.count, steps, fitted, limits)
    with ProgressBar(
        total=steps, unit="step", disable=quiet or not is_first_process()
    ) as bar:

        def callback(length: int) -> None:
            forecast(length)
            bar.update(length)

        for path in missing:
            give_back_freed_memory()
            first = first_of[path]
            last = min(first + size, settings.count)
            chunk = [settings[index] for index in range(first, last)]
            lanes = prepare(chunk, size=fitted.lanes)
            if lane_shapes(lanes, fitted.lanes).data != fitted.shapes.data:
                raise InputError(UNLIKE)
            results = run_lanes(fitted.sweep, lanes, preset, callback=callback)
            if not is_first_process():
                continue
            # Not before: a sweep that was too long leaves nothing behind.
            folder.mkdir(parents=True, exist_ok=True)
            # The first of all: without it a killed sweep could not go on.
            write_config(folder, config)
            path.parent.mkdir(exist_ok=True)
            write_sweep(path, as_sweep(chunk, results, lanes.original, preset))
    return list(first_of)


def _chunks(folder: Path, settings: Settings, size: int) -> dict[Path, int]:
    """The file of each chunk, and the first of its settings."""
    firsts = range(0, settings.count, size)
    return {
        folder / CHUNKS / f"chunk_{number:05d}.h5": first
        for number, first in enumerate(firsts)
    }


class _Forecast:
    """Says what the sweep will take: memory at once, time after its second dispatch."""

    def __init__(self, count: int, steps: int, fitted: FittedSweep, limits: Limits):
        self._count, self._steps, self._limits = count, steps, limits
        self._memory = f"{fitted.peak_bytes / GIGABYTE:.2f} GB"
        self._dispatches = 0
        self._before = time.monotonic()
        print(
            f"sweep: {count} settings, {fitted.size} at a time, predicted peak memory "
            f"{self._memory}"
        )

    def __call__(self, length: int) -> None:
        now = time.monotonic()
        self._dispatches += 1
        # The first one warms up.
        if self._dispatches == 2:
            self._tell_time((now - self._before) / length * self._steps / 60)
        self._before = now

    def _tell_time(self, minutes: float) -> None:
        tqdm.write(f"sweep: predicted time {minutes:.2g} minutes")
        too_much = minutes > self._limits.minutes or self._count > MOST_UNASKED
        if any_of_processes(too_much) and not self._limits.yes:
            raise InputError(
                f"{self._count} settings would take about {minutes:.2g} minutes and "
                f"{self._memory}: add --yes to run them"
            )


def _check_limits(limits: Limits) -> None:
    given = {"memory_gb": limits.memory_gb, "limit_minutes": limits.minutes}
    for name, value in given.items():
        if value is not None and not value >= 0:
            raise InputError(f"--{name}={value}: give a number of 0 or more")


def _begun_config(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the sweep in the folder was begun with, if it is the same one."""
    begun = read_config(folder)
    if begun.get(LANES_PER_CHUNK) is None:
        raise InputError(f"{folder} holds another run: choose another --workdir")
    before, now = begun["settings"], json.loads(json.dumps(config["settings"]))
    changed = [
        f"{name} was {short_json(before.get(name))}, is {short_json(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise InputError(
            f"the sweep in {folder} had other settings ({'; '.join(changed)}): go on "
            "with the same flags or choose another --workdir"
        )
    return begun


def _fit(
    prepare: Callable[..., Lanes],
    preset: Preset,
    settings: Settings,
    config: Mapping[str, Any],
    limits: Limits,
) -> FittedSweep:
    lanes = prepare([settings[0]])
    budget = default_budget()
    if limits.memory_gb is not None:
        budget = limits.memory_gb * GIGABYTE
    columns = len((*SCALARS, *preset.content_layers, *preset.style_layers))
    log_bytes = 4 * LOG_COPIES * settings.count * (preset.steps + 1) * columns
    if any_of_processes(log_bytes > budget):
        raise InputError(
            f"the losses of {settings.count} settings with {preset.steps} steps would "
            f"need {log_bytes / GIGABYTE:.2f} GB, and --memory_gb allows "
            f"{budget / GIGABYTE:.2f}: allow more, or give fewer steps"
        )
    begun = config.get(LANES_PER_CHUNK)
    most = begun or MOST_LANES_PER_DEVICE * jax.device_count()
    sweep = make_sweep(make_transfer(preset), lanes.axes)
    fitted = fit_sweep(sweep, lanes, preset, settings.count, most, budget)
    if begun and fitted.size != begun:
        raise InputError(
            f"the sweep was begun with {begun} settings at a time, which need more "
            f"than {budget / GIGABYTE:.2f} GB: allow more with --memory_gb"
        )
    return fitted
