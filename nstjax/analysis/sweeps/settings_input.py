"""Reading a sweep's settings: a grid in one line, or a table in a file."""

import csv
import os

import numpy as np

from nstjax.analysis.sweeps.settings import MOST_SETTINGS, Axis, Settings
from nstjax.errors import InputError
from nstjax.io.stored import check_file
from nstjax.presets.preset import LARGEST_NUMBER
from nstjax.whole_number import is_whole_number

# For the most settings that a sweep may have, 160 characters each.
MOST_BYTES = 2**24
GRID_HELP = "give NAME=START:STOP:COUNT[:log] or NAME=VALUE;VALUE"


def parse_grid(text: str) -> Settings:
    """Read beta=1e1:1e5:9:log,learning_rate=1;2;5.

    START:STOP:COUNT has equal steps from start to stop, both included; with ``:log``
    equal ratios.

    Raises:
      InputError: something else was given.
    """
    axes = []
    for part in text.split(","):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        if not name or not equals:
            raise InputError(f"{part.strip()!r} in the grid has no values: {GRID_HELP}")
        axes.append(Axis((name,), tuple((x,) for x in _parse_values(name, values))))
    return Settings(tuple(axes))


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read a CSV file: names of settings in the first line, then a line for each run.

    Raises:
      InputError: something else is there.
    """
    check_file(path, "give a CSV file of settings", MOST_BYTES)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file) if any(line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file ({error})") from error
    if not lines:
        raise InputError(f"{path} is empty: name the settings in its first line")
    names = tuple(name.strip() for name in lines[0])
    rows = []
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(names):
            raise InputError(
                f"{path}: run {number} has {len(line)} values for {len(names)} "
                f"settings ({','.join(names)})"
            )
        rows.append(tuple(map(_parse_number, names, line)))
    return Settings((Axis(names, tuple(rows)),))


def _parse_values(name: str, text: str) -> list[float]:
    if ":" not in text:
        return [_parse_number(name, value) for value in text.split(";")]
    start_text, stop_text, *rest = text.split(":")
    start, stop = (_parse_number(name, value) for value in (start_text, stop_text))
    spacing = rest[1].strip() if len(rest) == 2 else "lin"
    if len(rest) not in (1, 2) or spacing not in ("lin", "log"):
        raise InputError(f"{name}={text} in the grid cannot be read: {GRID_HELP}")
    count = rest[0].strip()
    if not is_whole_number(count) or not 1 <= int(count) <= MOST_SETTINGS:
        raise InputError(
            f"{name} has {count!r} values in the grid: give a whole number in "
            f"1..{MOST_SETTINGS}"
        )
    if spacing == "lin":
        return np.linspace(start, stop, int(count)).tolist()
    if min(start, stop) <= 0:
        raise InputError(
            f"{name}={text} in the grid: equal ratios need a start and a stop above 0"
        )
    return np.geomspace(start, stop, int(count)).tolist()


def _parse_number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{name} must be a number, got {text.strip()!r}") from None
    if not abs(value) <= LARGEST_NUMBER:
        raise InputError(
            f"{name} must be a finite number (in float32), got {text.strip()}"
        )
    return value
