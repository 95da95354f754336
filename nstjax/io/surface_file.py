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
``nstjax.io.attributes``.
"""

import io
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from nstjax.analysis.surface import Marks, Plane, Surface, SurfaceValues
from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.io.attributes import read_attributes, write_attributes

SCHEMA = "nstjax.surface/1"
WEIGHT_PREFIX = "default_"
# What h5py raises where bytes are missing or wrong.
UNREADABLE = (
    *(OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError),
)
# Differences that an error lists.
SHOWN = 4
GRIDS = ("content", "style", "tv", "out_of_gamut")
# What a surface is computed with may change between two goes; what it is may not. The
# config repeats some of the settings.
NOT_COMPARED = ("nstjax_version", "jax_version", "backend", "device", "config")


def write_surface(path: str | os.PathLike[str], surface: Surface) -> None:
    """Write a surface, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    # In memory first: h5py cannot close a file for which the disk has no room.
    contents = io.BytesIO()
    with h5py.File(contents, "w") as file:
        about = dict(surface.about)
        config = {
            **about.pop("config", {}),
            **{f"{WEIGHT_PREFIX}{name}": x for name, x in surface.weights.items()},
        }
        write_attributes(file, {"schema": SCHEMA, **about})
        write_attributes(file.create_group("config"), config)
        if surface.plane is not None:
            _write_plane(file, surface.plane)
        _write_axes(file, surface)
        _write_values(file, surface.values)
        file["done"] = np.asarray(surface.done, np.uint8)
        _write_marks(file.create_group("points"), surface.points)
        file["points"].create_dataset(
            "names", data=list(surface.points.names), dtype=h5py.string_dtype()
        )
        file.create_group("trajectory")
        for run, marks in sorted(surface.trajectories.items()):
            group = file.create_group(f"trajectory/{run}")
            group["step"] = np.array([int(name) for name in marks.names], np.int32)
            _write_marks(group, marks)
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents.getbuffer())


def read_surface(path: str | os.PathLike[str]) -> Surface:
    """Read a surface, finished or not.

    Raises:
      InputError: there is none, or it is damaged, or something else.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        problem = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InputError(f"{path} {problem}: give a file of a loss surface")
    try:
        with h5py.File(path) as file:
            schema = file.attrs.get("schema")
            if schema != SCHEMA:
                raise InputError(
                    f"{path} is not a loss surface of this version (its schema is "
                    f"{schema}, not {SCHEMA}): give a file of experiments.loss_surface"
                )
            surface = _read(file)
        _check(surface)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"{path} is damaged ({error}): remove it and compute the surface again"
        ) from error
    return surface


def check_resumable(
    path: str | os.PathLike[str], found: Surface, wanted: Mapping[str, Any]
) -> None:
    """Raise ``InputError`` unless the surface on disk is the one that is wanted.

    Args:
      path: of the file.
      found: from ``read_surface``.
      wanted: ``Surface.about`` of the surface to compute.
    """
    before, now = _identity(found.about), _identity(json.loads(json.dumps(wanted)))
    changed = [
        f"{name} was {json.dumps(before.get(name))}, is {json.dumps(now.get(name))}"
        for name in sorted(
            before.keys() | now.keys(), key=lambda x: (not x.startswith("flags"), x)
        )
        if before.get(name) != now.get(name)
    ]
    if changed:
        more = len(changed) - SHOWN
        shown = [*changed[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise InputError(
            f"{path} holds another surface ({'; '.join(shown)}): choose another "
            "--output or remove it"
        )


def _identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """What must agree, with the tables in it laid out flat."""
    flat: dict[str, Any] = {}
    for name, value in about.items():
        if name not in NOT_COMPARED:
            tables = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name} {key}".strip(): entry for key, entry in tables.items()}
    return flat


def _write_plane(file: h5py.File, plane: Plane) -> None:
    file["origin"] = np.asarray(plane.origin, np.float32)
    for name, label in zip("uv", plane.labels, strict=True):
        direction = np.asarray(getattr(plane, name), np.float32)
        dataset = file.create_dataset(f"axes/{name}", data=direction)
        write_attributes(dataset, {"kind": plane.kind, "label": label, **plane.details})


def _write_axes(file: h5py.File, surface: Surface) -> None:
    plane = surface.plane
    for name, label in zip("st", surface.labels, strict=True):
        coordinates = np.asarray(getattr(surface, name), np.float64)
        axis = file.create_dataset(f"axes/{name}", data=coordinates)
        axis.attrs["label"] = label
        if plane is not None:
            axis.attrs["unit_length"] = plane.unit_length
            axis.attrs["rms_8bit_per_unit"] = plane.unit_length / math.sqrt(
                plane.origin.size
            )
        axis.make_scale(name)


def _write_values(file: h5py.File, values: SurfaceValues) -> None:
    for name in GRIDS:
        dtype = np.float32 if name == "out_of_gamut" else np.float64
        grid = file.create_dataset(
            f"values/{name}", data=getattr(values, name), dtype=dtype, fillvalue=np.nan
        )
        _attach_scales(file, grid, first=0)
    layers = list(values.style_layers)
    grid = file.create_dataset(
        "values/style_layers",
        data=np.reshape(
            [values.style_layers[layer] for layer in layers],
            (len(layers), *values.style.shape),
        ),
        dtype=np.float64,
        fillvalue=np.nan,
    )
    grid.attrs["layers"] = layers
    _attach_scales(file, grid, first=1)


def _attach_scales(file: h5py.File, grid: h5py.Dataset, first: int) -> None:
    for axis, name in enumerate("st", start=first):
        grid.dims[axis].label = name
        grid.dims[axis].attach_scale(file[f"axes/{name}"])


def _write_marks(group: h5py.Group, marks: Marks) -> None:
    group["coords"] = np.asarray(marks.coordinates, np.float64)
    group["residual"] = np.asarray(marks.residuals, np.float64)
    group["losses"] = np.asarray(marks.losses, np.float64)


def _read(file: h5py.File) -> Surface:
    about, config = read_attributes(file), read_attributes(file["config"])
    del about["schema"]
    weights = {
        name.removeprefix(WEIGHT_PREFIX): config.pop(name)
        for name in list(config)
        if name.startswith(WEIGHT_PREFIX)
    }
    axes, values = file["axes"], file["values"]
    by_layer = values["style_layers"]
    names = file["points/names"].asstr()[()]
    return Surface(
        plane=_read_plane(file) if "origin" in file else None,
        s=axes["s"][()],
        t=axes["t"][()],
        values=SurfaceValues(
            **{name: np.asarray(values[name], np.float64) for name in GRIDS},
            style_layers=dict(zip(by_layer.attrs["layers"], by_layer[()], strict=True)),
        ),
        done=file["done"][()].astype(bool),
        points=_read_marks(file["points"], tuple(names)),
        trajectories={
            run: _read_marks(group, tuple(map(str, group["step"][()])))
            for run, group in file["trajectory"].items()
        },
        weights=weights,
        labels=(axes["s"].attrs["label"], axes["t"].attrs["label"]),
        about={**about, "config": config},
    )


def _read_plane(file: h5py.File) -> Plane:
    axes = file["axes"]
    details = read_attributes(axes["u"])
    kind, label = details.pop("kind"), details.pop("label")
    return Plane(
        kind=kind,
        origin=file["origin"][()],
        u=axes["u"][()],
        v=axes["v"][()],
        unit_length=float(axes["s"].attrs["unit_length"]),
        labels=(label, axes["v"].attrs["label"]),
        details=details,
    )


def _read_marks(group: h5py.Group, names: tuple[str, ...]) -> Marks:
    return Marks(names, group["coords"][()], group["residual"][()], group["losses"][()])


def _check(surface: Surface) -> None:
    """Raise ``ValueError`` where shapes do not fit."""
    shape = (*surface.s.shape, *surface.t.shape)
    grids = [surface.done, *surface.values[:3], surface.values.out_of_gamut]
    expected = [
        (grid, shape) for grid in (*grids, *surface.values.style_layers.values())
    ]
    if surface.plane is not None:
        plane = surface.plane
        height, width, channels = plane.origin.shape
        expected += [(x, (height, width, channels)) for x in (plane.u, plane.v)]
    for marks in (surface.points, *surface.trajectories.values()):
        count = len(marks.names)
        expected += [
            (marks.coordinates, (count, 2)),
            (marks.residuals, (count,)),
            (marks.losses, (count, 3)),
        ]
    for array, wanted in expected:
        if array.shape != wanted:
            raise ValueError(f"an array of shape {array.shape} should have {wanted}")
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"a grid of shape {shape}")
