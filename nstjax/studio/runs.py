"""Runs: one folder each, which is all that is known of it."""

import contextlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.config import CONFIG
from nstjax.io.locks import PREVIEW, PREVIEW_FOLDER
from nstjax.io.run_log import METRICS
from nstjax.io.stored import read_record
from nstjax.studio.jobs import Job

RECORD = "studio.json"
RESULTS = "results"
RESULT = "stylized.png"
DAMAGED = "delete its folder"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # of results that can be shown
KEY = r"^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}$"
# Of metrics.jsonl, to know how far a run has come.
TAIL_BYTES = 2**16

Wish = Literal["run", "pause", "stop"]


class Record(msgspec.Struct):
    """What studio.json holds."""

    job: Job
    created: float  # seconds since 1970
    wish: Wish = "run"  # what somebody wants of it
    ended: bool = False  # whether its command came to its end
    error: str = ""  # why it failed
    more_steps: int = 0  # that it was given beyond its preset's


class Scale(msgspec.Struct, array_like=True):
    """A scale of a run as config.json has it."""

    height: int
    width: int
    first_step: int
    last_step: int


class Progress(msgspec.Struct):
    """How far a run of nstjax has come."""

    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    total_loss: float | None = None


class Runs:
    """All runs of a studio's folder.

    ``config.json``, ``metrics.jsonl``, the checkpoint and the preview in a run's folder
    are the command's; ``studio.json`` says what was asked for.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __iter__(self) -> Iterator[str]:
        """The keys of all runs that can be read, the oldest first."""
        return (key for key, fault in self._faults() if not fault)

    def damaged(self) -> list[str]:
        """A line for each record that cannot be read."""
        return [fault for _, fault in self._faults() if fault]

    def _faults(self) -> Iterator[tuple[str, str]]:
        for key in sorted(path.parent.name for path in self.folder.glob(f"*/{RECORD}")):
            fault = ""
            try:
                self.read(key)
            except InputError as error:
                fault = str(error)
            yield key, fault

    def new(self, job: Job) -> str:
        """Make a run's folder; gives its key."""
        key = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self.folder / key).mkdir(parents=True)
        self.write(key, Record(job, time.time()))
        return key

    def path(self, key: str) -> Path:
        """A run's folder; ``InputError`` where there is none."""
        path = self.folder / key
        if not re.fullmatch(KEY, key) or not (path / RECORD).exists():
            raise InputError(f"there is no run {key[:40]!r}: it may have been deleted")
        return path

    def read(self, key: str) -> Record:
        """What is known of a run."""
        path = self.path(key) / RECORD
        data = read_record(path, dict[str, Any], DAMAGED)
        try:
            return msgspec.convert(data, Record)
        except msgspec.ValidationError as error:
            raise InputError(f"{path} is damaged ({error}): {DAMAGED}") from None

    def write(self, key: str, record: Record) -> None:
        """Write what is known of a run."""
        text = json.dumps(msgspec.to_builtins(record), indent=2) + "\n"
        write_atomically(self.folder / key / RECORD, text)

    def remove(self, key: str) -> None:
        """Remove a run and its pictures."""
        path = self.path(key)
        # Without its record it is no run any more, should the rest take a while.
        (path / RECORD).unlink()
        shutil.rmtree(path, ignore_errors=True)

    def preview(self, key: str) -> Path | None:
        """The image so far, or the last one; None before the first."""
        folder = self.path(key)
        result = folder / RESULT
        newest = folder / f"{result.stem}{PREVIEW_FOLDER}" / PREVIEW
        made = [path for path in self.results(key) if path.suffix in PICTURES][-1:]
        return next((path for path in (newest, *made) if path.exists()), None)

    def results(self, key: str) -> list[Path]:
        """The pictures and videos that a run has made."""
        folder = self.path(key)
        if (folder / RESULTS).is_dir():
            found = (folder / RESULTS).rglob("*")
            return sorted(path for path in found if _is_result(path))
        return [path for path in (folder / RESULT,) if path.exists()]

    def progress(self, key: str) -> Progress:
        """How far a run of nstjax has come, from its log."""
        folder, progress = self.path(key), Progress()
        with contextlib.suppress(OSError, ValueError, InputError, KeyError):
            config = read_record(folder / CONFIG, dict[str, Any], DAMAGED)
            scales = msgspec.convert(config["settings"]["scales"], list[Scale])
            progress.steps = scales[-1].last_step
            rows = _last_rows(folder / METRICS)
            last = rows[-1]
            progress.step = min(int(last["step"]) + 1, progress.steps)
            progress.total_loss = float(last["total"])
            progress.seconds_left = _seconds_left(scales, rows)
        return progress

    def pace(self, key: str) -> tuple[str, float, int] | None:
        """The network's hash, and the seconds that so many pixels' steps have taken."""
        folder = self.path(key)
        with contextlib.suppress(OSError, InputError, KeyError, IndexError):
            config = read_record(folder / CONFIG, dict[str, Any], DAMAGED)["settings"]
            scales = msgspec.convert(config["scales"], list[Scale])
            rows = _last_rows(folder / METRICS)
            return config["weights_sha256"], *_pixel_steps(scales, rows)
        return None

    def has_steps(self, key: str) -> bool:
        """Whether a run is one of steps, and has begun."""
        return (self.path(key) / CONFIG).exists()

    def losses(self, key: str) -> list[tuple[int, float]]:
        """The total loss at each logged step."""
        path = self.path(key) / METRICS
        if not path.exists():
            return []
        rows = map(_row, path.read_bytes().splitlines())
        return [(int(row["step"]), float(row["total"])) for row in rows if row]


def _is_result(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts[-2:])
    return path.is_file() and not hidden and PREVIEW_FOLDER not in str(path)


def _last_rows(path: Path) -> list[dict[str, Any]]:
    with open(path, "rb") as file:
        start = file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        lines = file.read().splitlines()
    # The first may lack its beginning.
    return [row for row in map(_row, lines[bool(start) :]) if row]


def _row(line: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        row = json.loads(line)
        if isinstance(row, dict) and {"step", "total", "seconds"} <= row.keys():
            return row
    return {}


def _seconds_left(scales: list[Scale], rows: list[dict[str, Any]]) -> float | None:
    """From the last steps' time for each pixel, as larger scales have more of them."""
    seconds, done = _pixel_steps(scales, rows)
    left = sum(
        scale.height
        * scale.width
        * max(0, scale.last_step - max(scale.first_step, rows[-1]["step"] + 1))
        for scale in scales
    )
    return None if not done or seconds <= 0 else left * seconds / done


def _pixel_steps(scales: list[Scale], rows: list[dict[str, Any]]) -> tuple[float, int]:
    """The seconds between two logged steps, and the pixels' steps between them."""
    first, last = rows[0], rows[-1]
    done = sum(
        scale.height
        * scale.width
        * max(
            0,
            min(scale.last_step, last["step"]) - max(scale.first_step, first["step"]),
        )
        for scale in scales
    )
    return last["seconds"] - first["seconds"], done
