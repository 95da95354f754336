"""A loss surface on disk, schema ``nstjax.surface/1``; L layers, D dimensional scales.

    attrs             schema, and where it comes from: ``Surface.about``
    /config           attrs: layers and forms of the loss, default_alpha, …_beta, …_tv
    /origin           f4 (height, width, 3)       in the network's units
    /axes/u, /axes/v  f4 (height, width, 3)       attrs: kind, label, Plane.details
    /axes/s, /axes/t  f8 (nu,), (nv,)             attrs: label, unit_length,
                                                  rms_8bit_per_unit; scales of /values
    /values/content, /values/style, /values/tv    f8 (nu, nv), unweighted, NaN: unknown
    /values/style_layers                          f8 (L, nu, nv), attr: layers
    /values/out_of_gamut                          f4 (nu, nv)
    /done             u1 (nu, nv)
    /points           names (k,), coords f8 (k, 2), residual f8 (k,), losses f8 (k, 3)
    /trajectory/<run> step i4 (T,), and the same

Final losses over two settings have no /origin, /axes/u and /axes/v. The total is not
stored: it is α content + β style + tv TV for any weights. Attributes are written by
``nstjax.io.hdf5``.
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from nstjax.analysis.surfaces.surface import Marks, Plane, Surface, SurfaceValues
from nstjax.analysis.sweeps.file import LARGEST, Layers
from nstjax.io.config import check_same, plain
from nstjax.io.hdf5 import Stored, Table, read_hdf5, write_hdf5
from nstjax.io.stored import Amount, Label, Positive, check_file, convert, damaged

SCHEMA = "nstjax.surface/1"
WEIGHT_PREFIX = "default_"
MOST_MARKS = 100
REMEDY = "remove it and compute the surface again"
GRIDS = ("content", "style", "tv", "out_of_gamut")
COLUMNS = {"coords": (2,), "residual": (), "losses": (3,)}  # of marks
# What a surface is computed with may change between two goes; what it is may not. The
# config repeats some of the settings.
NOT_COMPARED = ("nstjax_version", "jax_version", "backend", "device", "config")


class Direction(msgspec.Struct):
    """The attributes of a direction; what else it has are the plane's details."""

    kind: Label
    label: Label


class Axis(msgspec.Struct):
    """The attributes of an axis; without a plane, it has no unit."""

    label: Label
    unit_length: Positive | None = None


IMAGE = Table("f4", ("height", "width", 3), LARGEST, finite=True, required=False)
COORDINATES = Table(
    "f8", ("nu",), LARGEST, finite=True, increasing=True, attributes=Axis, scale="s"
)
NODES = Table("f8", ("nu", "nv"), LARGEST)
TABLES = {
    "origin": IMAGE,
    **{f"axes/{name}": IMAGE._replace(attributes=dict[str, Any]) for name in "uv"},
    "axes/s": COORDINATES,
    "axes/t": COORDINATES._replace(axes=("nv",), scale="t"),
    **{f"values/{name}": NODES for name in GRIDS},
    "values/out_of_gamut": NODES._replace(dtype="f4"),
    "values/style_layers": Table(
        "f8", ("layers", "nu", "nv"), LARGEST, attributes=Layers
    ),
    "done": Table("u1", ("nu", "nv"), (0, 1)),
    "points/names": Table("s", ("points",)),
    "trajectory/*/step": Table("i4", ("*points",), (0, math.inf)),
    **{
        f"{group}/{column}": Table("f8", (count, *rest), LARGEST, column != "losses")
        for group, count in (("points", "points"), ("trajectory/*", "*points"))
        for column, rest in COLUMNS.items()
    },
}
GROUPS = {"": dict[str, Any], "config": dict[str, Any]}


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Write a surface, whole or not at all."""
    about = dict(surface.about)
    config = {
        **about.pop("config", {}),
        **{f"{WEIGHT_PREFIX}{name}": x for name, x in surface.weights.items()},
    }
    attributes = {"": about, "config": config}
    values: dict[str, Any] = {}
    plane, unit = surface.plane, {}
    if plane is not None:
        length = plane.unit_length
        rms = length / math.sqrt(plane.origin.size)
        unit = {"unit_length": length, "rms_8bit_per_unit": rms}
        values["origin"] = plane.origin
        for name, label in zip("uv", plane.labels, strict=True):
            values[f"axes/{name}"] = getattr(plane, name)
            described = {"kind": plane.kind, "label": label, **plane.details}
            attributes[f"axes/{name}"] = described
    for name, label in zip("st", surface.labels, strict=True):
        values[f"axes/{name}"] = getattr(surface, name)
        attributes[f"axes/{name}"] = {"label": label, **unit}
    values |= {f"values/{name}": getattr(surface.values, name) for name in GRIDS}
    layers = surface.values.style_layers
    values["values/style_layers"] = np.reshape(
        [*layers.values()], (len(layers), *surface.values.style.shape)
    )
    attributes["values/style_layers"] = {"layers": list(layers)}
    values["done"] = surface.done
    values["points/names"] = surface.points.names
    values |= _columns("points", surface.points)
    for run, marks in sorted(surface.trajectories.items()):
        steps = [int(name) for name in marks.names]
        values[f"trajectory/{run}/step"] = steps
        values |= _columns(f"trajectory/{run}", marks)
    write_hdf5(path, SCHEMA, TABLES, attributes, values)


def read_surface(path: str | os.PathLike[str]) -> Surface:
    """Read a surface, finished or not; ``InputError`` if it is none, or damaged."""
    check_file(path, "give a file of a loss surface")
    stored = read_hdf5(path, SCHEMA, TABLES, GROUPS, REMEDY)
    tables, attributes = stored.tables, stored.attributes
    about, config = attributes[""], attributes["config"]
    del about["schema"]
    weights = convert(
        {
            name.removeprefix(WEIGHT_PREFIX): config.pop(name)
            for name in list(config)
            if name.startswith(WEIGHT_PREFIX)
        },
        dict[str, Amount],
        f"{path} config",
        REMEDY,
    )
    if "origin" in tables and weights.keys() != {"alpha", "beta", "tv"}:
        raise damaged(path, f"the weights of {', '.join(weights)} alone", REMEDY)
    if len(tables["points/names"]) > MOST_MARKS:
        raise damaged(path, f"more than {MOST_MARKS} points", REMEDY)
    layers = attributes["values/style_layers"].layers
    if len(layers) != len(tables["values/style_layers"]) or not tables["done"].size:
        raise damaged(path, f"{len(layers)} names of layers, or no nodes", REMEDY)
    return Surface(
        plane=_plane(path, stored) if "origin" in tables else None,
        s=tables["axes/s"],
        t=tables["axes/t"],
        values=SurfaceValues(
            **{
                name: np.asarray(tables[f"values/{name}"], np.float64) for name in GRIDS
            },
            style_layers=dict(zip(layers, tables["values/style_layers"], strict=True)),
        ),
        done=tables["done"].astype(bool),
        points=_marks(stored, "points", tables["points/names"]),
        trajectories={
            path.split("/")[1]: _marks(stored, path.rpartition("/")[0], steps)
            for path, steps in tables.items()
            if path.endswith("/step")
        },
        weights=weights,
        labels=(attributes["axes/s"].label, attributes["axes/t"].label),
        about={**about, "config": config},
    )


def check_resumable(
    path: str | os.PathLike[str], found: Surface, wanted: Mapping[str, Any]
) -> None:
    """Raise ``InputError`` unless what a file holds is about what is wanted."""
    check_same(
        _identity(found.about),
        _identity(plain(wanted)),
        f"{path} holds another surface",
        "choose another --output or remove it",
        most=4,
    )


def _identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """What must agree, with the tables in it laid out flat."""
    flat: dict[str, Any] = {}
    for name, value in about.items():
        if name not in NOT_COMPARED:
            tables = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name} {key}".strip(): entry for key, entry in tables.items()}
    return flat


def _columns(group: str, marks: Marks) -> dict[str, Any]:
    columns = zip(COLUMNS, marks[1:], strict=True)
    return {f"{group}/{name}": column for name, column in columns}


def _plane(path: str | os.PathLike[str], stored: Stored) -> Plane:
    u, v = (stored.attributes.get(f"axes/{name}") for name in "uv")
    unit_length = stored.attributes["axes/s"].unit_length
    if u is None or v is None or unit_length is None:
        raise damaged(path, "axes/u, axes/v or unit_length is missing", REMEDY)
    described = [convert(each, Direction, f"{path} axes", REMEDY) for each in (u, v)]
    return Plane(
        kind=described[0].kind,
        origin=stored.tables["origin"],
        u=stored.tables["axes/u"],
        v=stored.tables["axes/v"],
        unit_length=unit_length,
        labels=(described[0].label, described[1].label),
        details={name: u[name] for name in u if name not in ("kind", "label")},
    )


def _marks(stored: Stored, group: str, names: Iterable[Any]) -> Marks:
    tables = (stored.tables[f"{group}/{column}"] for column in COLUMNS)
    return Marks(tuple(map(str, names)), *tables)
