"""A sweep on disk, schema ``nstjax.sweep/1``: N settings, T rows, L layers.

    attrs             schema, config (JSON)
    /settings/<name>  f8 or i8 (N,)
    /status           text (N,): done or diverged
    /nstop            i4 (N,)     see ``Sweep.stop_steps``
    /log/step         i4 (T,)
    /log/{total,content,style,tv,gradient_norm}   f4 (N, T)
    /log/content_layers, /log/style_layers        f4 (N, T, L), attribute ``layers``
    /final/{total,content,style,tv}               f8 (N,)
    /images           u1 (N, height, width, 3), sRGB

``total`` is weighted; every other loss is not.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.hdf5 import Table, read_hdf5, write_hdf5
from nstjax.io.stored import Amount, Label, convert, damaged, decode
from nstjax.presets.settings import LARGEST_NUMBER

SCHEMA = "nstjax.sweep/1"
SCALARS = ("total", "content", "style", "tv", "gradient_norm")
LAYER_GROUPS = ("content_layers", "style_layers")
FINAL = ("total", "content", "style", "tv")


class Weights(msgspec.Struct):
    """What is used of a sweep's settings: what may be fixed while others vary."""

    alpha: Amount
    beta: Amount


class Config(msgspec.Struct):
    """What is used of the config in a sweep; its parts have none."""

    settings: Weights | None = None


class Attributes(msgspec.Struct):
    """The attributes of a sweep's file."""

    config: str


class Layers(msgspec.Struct):
    """The attributes of the losses by layer."""

    layers: list[Label]


LARGEST = (-LARGEST_NUMBER, LARGEST_NUMBER)
STEPS = (0, 2**31)
TABLES = {
    "settings/*": Table("fi", ("runs",), (0, math.inf), finite=True),
    "status": Table("s", ("runs",), choices=("done", "diverged")),
    "nstop": Table("i4", ("runs",), STEPS),
    "log/step": Table("i4", ("rows",), STEPS, increasing=True),
    **{f"log/{name}": Table("f4", ("runs", "rows")) for name in SCALARS},
    **{
        f"log/{group}": Table("f4", ("runs", "rows", group), attributes=Layers)
        for group in LAYER_GROUPS
    },
    **{f"final/{name}": Table("f8", ("runs",), LARGEST) for name in FINAL},
    "images": Table("u1", ("runs", "height", "width", 3), (0, 255), compressed=True),
}
NAME = re.compile("[a-z0-9_.]+")
REMEDY = "delete it and run the sweep again"


class Sweep(NamedTuple):
    """N runs that differ in numbers only: the tables above, by the same names.

    ``stop_steps`` [N] are how many updates each image has had when its run ended; of a
    diverged one, when its loss or gradient was no longer finite: from there on its log
    is NaN, and its image the last whose loss was finite. ``final`` is the row of the
    log that is the image's, NaN where there is none; of a moving average it is the last
    image's. The config is "settings" and what the sweep was run with, as plain JSON
    data.
    """

    settings: dict[str, np.ndarray]
    status: np.ndarray
    stop_steps: np.ndarray
    log: dict[str, Any]
    final: dict[str, np.ndarray]
    images: np.ndarray
    config: dict[str, Any]


def write_sweep(path: str | os.PathLike[str], sweep: Sweep) -> None:
    """Write a sweep, whole or not at all; the same sweep gives the same bytes."""
    attributes: dict[str, dict[str, Any]] = {"": {"config": json.dumps(sweep.config)}}
    values: dict[str, Any] = {
        **{f"settings/{name}": column for name, column in sweep.settings.items()},
        "status": sweep.status,
        "nstop": sweep.stop_steps,
        **{f"log/{name}": sweep.log[name] for name in ("step", *SCALARS)},
        **{f"final/{name}": sweep.final[name] for name in FINAL},
        "images": sweep.images,
    }
    for group in LAYER_GROUPS:
        layers = sweep.log[group]
        values[f"log/{group}"] = np.stack([*layers.values()], axis=-1)
        attributes[f"log/{group}"] = {"layers": list(layers)}
    write_hdf5(path, SCHEMA, TABLES, attributes, values)


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read a sweep; ``InputError`` if it is none, or damaged."""
    stored = read_hdf5(path, SCHEMA, TABLES, {"": Attributes}, REMEDY)
    tables = stored.tables
    where = f"{path} config"
    config = decode(stored.attributes[""].config, dict[str, Any], where, REMEDY)
    convert(config, Config, where, REMEDY)
    settings = stored.below("settings")
    if not tables["images"].size or not all(map(NAME.fullmatch, settings)):
        raise damaged(path, "no runs, or settings of unknown names", REMEDY)
    log: dict[str, Any] = {name: tables[f"log/{name}"] for name in ("step", *SCALARS)}
    for group in LAYER_GROUPS:
        table, layers = tables[f"log/{group}"], stored.attributes[f"log/{group}"].layers
        if len(layers) != table.shape[2]:
            raise damaged(path, f"log/{group} has {len(layers)} names", REMEDY)
        log[group] = {layer: table[..., index] for index, layer in enumerate(layers)}
    return Sweep(
        settings=settings,
        status=np.array(tables["status"], np.str_),
        stop_steps=tables["nstop"],
        log=log,
        final=stored.below("final"),
        images=tables["images"],
        config=config,
    )


def join_sweeps(parts: Sequence[Sweep]) -> Sweep:
    """One sweep of consecutive parts, with the first one's config."""
    if len({_structure(part) for part in parts}) > 1:
        raise InputError(f"the chunks of the sweep are not of one sweep: {REMEDY}")

    def joined(values: Sequence[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: joined([each[name] for each in values]) for name in values[0]}
        return np.concatenate(values)

    first = parts[0]
    tables = [name for name in Sweep._fields if name != "config"]
    whole = first._replace(
        **{name: joined([getattr(part, name) for part in parts]) for name in tables}
    )
    whole.log["step"] = first.log["step"]
    return whole


def _structure(sweep: Sweep) -> tuple:
    layers = (tuple(sweep.log[group]) for group in LAYER_GROUPS)
    steps = tuple(sweep.log["step"].tolist())
    return tuple(sweep.settings), steps, *layers, sweep.images.shape[1:]


def write_settings_table(path: str | os.PathLike[str], sweep: Sweep) -> None:
    """Write settings.csv: index, settings, status and final losses, a line per run."""
    columns = {
        "index": np.arange(len(sweep.status)),
        **sweep.settings,
        "status": sweep.status,
        **{f"{name}_loss": values for name, values in sweep.final.items()},
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(each.tolist() for each in columns.values()), strict=True))
    write_atomically(path, text.getvalue())
