"""HDF5 files by a schema, which is data.

A schema names the datasets, ``*`` standing for any name:

    {"step": Table("i8", ("rows",)), "images/*": Table("f4", ("*height", "*width", 3))}

Only what it names is read, and only where the file itself holds it: links to other
places and other files are refused, and so are sizes that the file's bytes do not
account for. All datasets are compared with the schema before the first is read.
"""

import io
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import h5py
import msgspec
import numpy as np

from nstjax.errors import InputError
from nstjax.images.resizing import MAX_SIDE
from nstjax.io.atomic import write_atomically
from nstjax.io.hdf5_objects import (
    FREE_BYTES,
    MOST_RATIO,
    check_own_data,
    lookup,
    read_attributes,
    write_attributes,
)
from nstjax.io.paths import StrPath
from nstjax.io.stored import Label, check_file, convert, damaged

MOST_OBJECTS = 100_000
MOST_TEXT = 2**24
KINDS = {"f": "float", "i": "integer", "u": "unsigned integer", "s": "text"}
MOST_ITEM_BYTES = {"f": 8, "i": 8, "u": 8, "s": 4096}
SIDES = ("height", "width", "*height", "*width")


class Table(NamedTuple):
    """A dataset, as a schema has it.

    ``dtype`` is NumPy's of what is written, such as "f4", or "s" for text; of its
    letter any size is read, and of several letters ("fi") what there is is written.
    Each of the ``axes`` has a length, or a name that all axes of that length share; one
    with ``*`` is of the object that the path's ``*`` stands for, and heights and widths
    are those of pictures.
    """

    dtype: str
    axes: tuple[int | str, ...]
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of its finite numbers
    finite: bool = False
    increasing: bool = False
    choices: tuple[str, ...] = ()  # of texts; empty: any line
    required: bool = True
    attributes: Any = None  # their type
    scale: str = ""  # its name as the dimension scale of its axis in other datasets
    compressed: bool = False  # each entry by itself

    @property
    def kinds(self) -> str:
        """The letters of what may be read."""
        return self.dtype.rstrip("0123456789")


class Stored(NamedTuple):
    """What a file holds: arrays, text as a list, and attributes of their types."""

    tables: dict[str, Any]
    attributes: dict[str, Any]  # the file's own at ""

    def below(self, group: str) -> dict[str, Any]:
        """The tables right below a group: {name: array}."""
        return {
            path.rpartition("/")[2]: table
            for path, table in self.tables.items()
            if path.rpartition("/")[0] == group
        }


def write_hdf5(
    path: StrPath,
    schema: str,
    tables: Mapping[str, Table],
    attributes: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Any],
) -> None:
    """Write a file, whole or not at all; the same data give the same bytes.

    Attributes are plain data, the file's own at ""; what ``tables`` describe is in
    ``values`` by its path, in the order of the names below a group.
    """
    # In memory first: h5py cannot close a file for which the disk has no room.
    contents = io.BytesIO()
    with h5py.File(contents, "w") as file:
        starred = [pattern for pattern in tables if "*" in pattern]
        for group in dict.fromkeys(each.partition("/*")[0] for each in starred):
            file.create_group(group, track_order=True)
        for at, value in values.items():
            _write_table(file, at, _table_at(tables, at), value)
        for at in values:
            _attach_scales(file, tables, at)
        write_attributes(file, {"schema": schema, **attributes.get("", {})})
        for at, plain in attributes.items():
            if at:
                write_attributes(
                    file[at] if at in file else file.create_group(at), plain
                )
    write_atomically(path, contents.getbuffer())


def read_hdf5(
    path: StrPath,
    schema: str,
    tables: Mapping[str, Table],
    attributes: Mapping[str, Any],
    remedy: str,
) -> Stored:
    """Read a file that ``write_hdf5`` wrote with the same schema.

    ``attributes`` are {path of a group: type}; datasets have the types of their tables.
    """
    path = os.fspath(path)
    check_file(path, remedy)
    if not h5py.is_hdf5(path):
        raise InputError(f"{path} is no HDF5 file: check the path")
    try:
        with h5py.File(path, "r") as file:
            about = read_attributes(file)
            if about.get("schema") != schema:
                raise ValueError(f"its schema is {about.get('schema')}, not {schema}")
            found = dict(_datasets(file, tables))
            _check_sizes(found, os.path.getsize(path))
            kinds = [(at, lookup(file, at), kind) for at, kind in attributes.items()]
            kinds += [(at, each, own.attributes) for at, (each, own) in found.items()]
            return Stored(
                {at: _read(at, *each) for at, each in found.items()},
                {
                    at: convert(read_attributes(each), kind, f"{path} {at}", remedy)
                    for at, each, kind in kinds
                    if kind is not None
                },
            )
    except InputError:
        raise
    # On damaged files h5py raises whatever it stumbled over.
    except Exception as error:
        raise damaged(path, error, remedy) from error


def _table_at(tables: Mapping[str, Table], path: str) -> Table:
    for pattern, table in tables.items():
        if re.fullmatch(pattern.replace("*", "[^/]*"), path):
            return table
    raise KeyError(path)


def _write_table(file: h5py.File, path: str, table: Table, value: Any) -> None:
    if table.dtype == "s":
        texts = [str(text) for text in value]
        file.create_dataset(path, data=texts, dtype=h5py.string_dtype())
        return
    data = np.asarray(value, None if table.dtype == table.kinds else table.dtype)
    options: dict[str, Any] = {"fillvalue": np.nan} if data.dtype.kind == "f" else {}
    if table.compressed:
        options |= {"chunks": (1, *data.shape[1:]), "compression": "gzip"}
    dataset = file.create_dataset(path, data=data, **options)
    if table.scale:
        dataset.make_scale(table.scale)


def _attach_scales(file: h5py.File, tables: Mapping[str, Table], path: str) -> None:
    own = _table_at(tables, path)
    for at, table in tables.items():
        if table.scale and not own.scale and table.axes[0] in own.axes:
            dimension = file[path].dims[own.axes.index(table.axes[0])]
            dimension.label = table.scale
            dimension.attach_scale(file[at])


def _datasets(
    file: h5py.File, tables: Mapping[str, Table]
) -> Iterator[tuple[str, tuple[h5py.Dataset, Table]]]:
    """Every dataset of a schema, its kind and shape compared with it."""
    lengths: dict[tuple[str, str], int] = {}
    for pattern, table in tables.items():
        for star in _names(file, pattern):
            path = pattern.replace("*", star)
            dataset = lookup(file, path)
            if dataset is None and not table.required:
                continue
            if not isinstance(dataset, h5py.Dataset):
                raise ValueError(f"{path} is missing or no dataset")
            if not _fits(dataset, table, star, lengths):
                axes = ", ".join(str(axis).strip("*") for axis in table.axes)
                raise ValueError(
                    f"{path} is {dataset.dtype} {list(dataset.shape or ())}, expected "
                    f"{' or '.join(KINDS[kind] for kind in table.kinds)} [{axes}]"
                )
            yield path, (dataset, table)


def _names(file: h5py.File, pattern: str) -> list[str]:
    """What a pattern's star may stand for."""
    path, star, _ = pattern.partition("/*")
    if not star:
        return [""]
    group = lookup(file, path)
    if not isinstance(group, h5py.Group) or len(group) > MOST_OBJECTS:
        raise ValueError(f"{path} is no group, or has more than {MOST_OBJECTS} members")
    return [msgspec.convert(name, Label) for name in group]


def _fits(
    dataset: h5py.Dataset, table: Table, star: str, lengths: dict[tuple[str, str], int]
) -> bool:
    """Whether kind and shape are the table's; new lengths are noted."""
    dtype, shape = dataset.dtype, dataset.shape
    kind = "s" if h5py.check_string_dtype(dtype) else dtype.kind
    if kind not in table.kinds or dtype.itemsize > MOST_ITEM_BYTES[kind]:
        return False
    if shape is None or len(shape) != len(table.axes):
        return False
    for length, axis in zip(shape, table.axes, strict=True):
        if axis in SIDES and not 1 <= length <= MAX_SIDE:
            return False
        if isinstance(axis, str):
            key = axis, star if axis[0] == "*" else ""
            axis = lengths.setdefault(key, length)
        if length != axis:
            return False
    return True


def _check_sizes(
    found: Mapping[str, tuple[h5py.Dataset, Table]], file_bytes: int
) -> None:
    """Refuse more than the file can hold: a dataset may have many names."""
    sizes = [check_own_data(path, dataset) for path, (dataset, _) in found.items()]
    plain, packed = map(sum, zip((0, 0), *sizes, strict=True))
    if plain > file_bytes or packed > max(FREE_BYTES, MOST_RATIO * file_bytes):
        raise ValueError(f"{plain + packed} bytes of data in a file of {file_bytes}")


def _read(path: str, dataset: h5py.Dataset, table: Table) -> Any:
    if table.kinds == "s":
        return list(_texts(path, dataset, table))
    values = dataset[()]
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = table.bounds
    if table.finite and known.size != values.size:
        raise ValueError(f"{path} holds a number that is not finite")
    if known.size and not low <= known.min() <= known.max() <= high:
        raise ValueError(f"{path} holds a number that is not in {low:g}..{high:g}")
    if table.increasing and not (np.diff(values) > 0).all():
        raise ValueError(f"{path} does not increase")
    return values


def _texts(path: str, dataset: h5py.Dataset, table: Table) -> Iterator[str]:
    length = 0
    # One by one: many may be the same long one.
    for index in range(dataset.size):
        text = msgspec.convert(dataset.asstr()[index], Label)
        if table.choices and text not in table.choices:
            raise ValueError(f"{path} holds {text!r}")
        length += len(text)
        if length > MOST_TEXT:
            raise ValueError(f"{path} holds more than {MOST_TEXT} letters")
        yield text
