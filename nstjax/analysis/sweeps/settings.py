"""The settings of a sweep: numbers that may differ between its runs.

All other settings decide the program's structure, which is compiled once. A command
gives them as a grid in one line, or as a table in a file.
"""

import csv
import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.io.stored import check_file
from nstjax.presets.preset import Preset
from nstjax.presets.settings import LARGEST_NUMBER, customize, settings_of
from nstjax.problem.targets import Controls, check_weights
from nstjax.whole_number import is_whole_number

Setting = Mapping[str, float]  # of one run: {name: value}

SCALARS = ("alpha", "beta", "tv", "learning_rate")
BLEND_WEIGHTS = "style_blend_weights"
MOST_SETTINGS = 100_000
LARGEST_SEED = 2**32 - 1
# MOST_SETTINGS lines of 160 characters.
MOST_BYTES = 2**24
GRID_HELP = "give NAME=START:STOP:COUNT[:log] or NAME=VALUE;VALUE"


class Axis(NamedTuple):
    """Settings that change together: their names, and rows of their values."""

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The product of some axes, the last one fastest, made one by one."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        names = self.names
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name} is given twice: give each setting once")
        if not names or not self.count:
            raise InputError("the sweep has no settings: give one or more")
        if self.count > MOST_SETTINGS:
            raise InputError(
                f"the sweep has {self.count} settings, more than {MOST_SETTINGS}: "
                "choose fewer values"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that differ."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def count(self) -> int:
        """How many runs there are."""
        return math.prod(len(axis.rows) for axis in self.axes)

    def __iter__(self) -> Iterator[Setting]:
        for rows in itertools.product(*(axis.rows for axis in self.axes)):
            yield dict(zip(self.names, itertools.chain(*rows), strict=True))


def grid(values: Mapping[str, Sequence[float]]) -> Settings:
    """Every combination of {name: values}, the last setting fastest."""
    return Settings(tuple(_axis(name, row) for name, row in values.items()))


def parse_grid(text: str) -> Settings:
    """Read beta=1e1:1e5:9:log,learning_rate=1;2;5.

    START:STOP:COUNT has equal steps from start to stop, both included; with ``:log``
    equal ratios.
    """
    axes = []
    for part in text.split(","):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        if not name or not equals:
            raise InputError(f"{part.strip()!r} in the grid has no values: {GRID_HELP}")
        axes.append(_axis(name, _parse_values(name, values)))
    return Settings(tuple(axes))


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read a CSV file: names in the first line, then a line for each run."""
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


def check_settings(
    settings: Settings, preset: Preset, styles: int, controls: Controls
) -> None:
    """Raise ``InputError`` unless a run with so many paintings could use every one."""
    known = known_names(preset, styles)
    for name in settings.names:
        if name in known:
            continue
        members = [each for each in known if each.startswith(f"{name}.")]
        if members:
            raise InputError(
                f"{name} has several numbers: give one of {', '.join(members)}"
            )
        if name.startswith(BLEND_WEIGHTS):
            raise InputError(f"{name} needs more style images: {styles} given")
        if name == "noise_ratio":
            raise InputError("noise_ratio needs init=blend: there it is noise's share")
        if name in settings_of(preset):
            raise InputError(
                f"{name} decides the program's structure: run one sweep for each {name}"
            )
        raise InputError(f"unknown setting {name!r}: a sweep knows {', '.join(known)}")
    for setting in settings:
        preset_with(setting, preset)
        seed_with(setting, 0)
        controls_with(setting, controls, styles)


def known_names(preset: Preset, styles: int) -> list[str]:
    """What may differ between the runs of a preset with that many paintings."""
    return [
        *SCALARS,
        "seed",
        *(["noise_ratio"] if preset.image.init == "blend" else []),
        *(f"content_layer_weights.{layer}" for layer in preset.content_layers),
        *(f"style_layer_weights.{layer}" for layer in preset.style_layers),
        *(_blend_names(styles) if styles > 1 else []),
    ]


def preset_with(setting: Setting, preset: Preset) -> Preset:
    """The preset of one run."""
    overrides: dict[str, Any] = {
        name: setting[name] for name in (*SCALARS, "noise_ratio") if name in setting
    }
    own = settings_of(preset)
    for kind in ("content_layer", "style_layer"):
        layers = zip(own[f"{kind}s"], own[f"{kind}_weights"], strict=True)
        overrides[f"{kind}_weights"] = tuple(
            setting.get(f"{kind}_weights.{layer}", weight) for layer, weight in layers
        )
    return customize(preset, **overrides)


def seed_with(setting: Setting, seed: int) -> int:
    """The seed of one run: its own, or the one given."""
    value = setting.get("seed", seed)
    if 0 <= value <= LARGEST_SEED and value == int(value):
        return int(value)
    raise InputError(f"seed must be a whole number in 0..{LARGEST_SEED}, got {value}")


def controls_with(setting: Setting, controls: Controls, styles: int) -> Controls:
    """The controls of one run, with its blend weights."""
    names = _blend_names(styles)
    if not any(name in setting for name in names):
        return controls
    weights = controls.style_blend_weights or (1.0,) * styles
    weights = tuple(map(setting.get, names, weights))
    check_weights(BLEND_WEIGHTS, weights, styles, "style images")
    return dataclasses.replace(controls, style_blend_weights=weights)


def _axis(name: str, values: Sequence[float]) -> Axis:
    return Axis((name,), tuple((value,) for value in values))


def _blend_names(styles: int) -> list[str]:
    return [f"{BLEND_WEIGHTS}.{number}" for number in range(1, styles + 1)]


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
    if abs(value) <= LARGEST_NUMBER:
        return value
    raise InputError(f"{name} must be a finite number (in float32), got {text.strip()}")
