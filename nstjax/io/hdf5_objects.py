"""What an HDF5 file itself holds: objects, and plain data as their attributes."""

import json
import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

JSON_SUFFIX = "_json"
MOST_ATTRIBUTES = 200
MOST_ATTRIBUTE_ENTRIES = 1000
# Of what is compressed; deflate makes at most a thousandth of anything.
MOST_RATIO = 50
FREE_BYTES = 2**26
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE)


def lookup(file: h5py.Group, path: str) -> h5py.HLObject | None:
    """A file's own object; None where there is none, and no link to another place."""
    found = file
    for name in path.split("/") if path else ():
        # h5py itself would follow a link before it says that it is one.
        links = found.id.links if isinstance(found, h5py.Group) else None
        if links is None or not links.exists(name.encode()):
            return None
        if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} is a link to another place")
        found = found[name]
    return found


def check_own_data(path: str, dataset: h5py.Dataset) -> tuple[int, int]:
    """A dataset's bytes in memory, plain and compressed in the file.

    Raises ``ValueError`` unless the file's own bytes account for them.
    """
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    if dataset.is_virtual or dataset.external or not set(filters) <= set(FILTERS):
        raise ValueError(f"{path} is kept in a way that is not read here")
    needed = dataset.size * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if needed > (max(FREE_BYTES, MOST_RATIO * stored) if filters else stored):
        raise ValueError(f"{path} has {needed} bytes, of which {stored} are there")
    return (0, needed) if filters else (needed, 0)


def write_attributes(where: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    """Write text, numbers and lists as they are, other plain data as ``<name>_json``.

    In the order that h5py lists it in: what was read is written to the same bytes.
    """
    for name, value in sorted(attributes.items()):
        entries = value if isinstance(value, list) and value else [value]
        if all(isinstance(entry, (str, int, float)) for entry in entries):
            where.attrs[name] = value
        else:
            where.attrs[f"{name}{JSON_SUFFIX}"] = json.dumps(value)


def read_attributes(where: h5py.HLObject | None) -> dict[str, Any]:
    """Read what ``write_attributes`` wrote; what it never writes is left out."""
    if where is None:
        raise ValueError("a group is missing")
    if len(where.attrs) > MOST_ATTRIBUTES:
        raise ValueError(f"{where.name} has {len(where.attrs)} attributes")
    attributes = {}
    for name in where.attrs:
        stored = where.attrs.get_id(name)
        plain = stored.dtype.kind in "bfiu" or h5py.check_string_dtype(stored.dtype)
        if not plain or math.prod(stored.shape) > MOST_ATTRIBUTE_ENTRIES:
            continue
        value = where.attrs[name]
        if isinstance(value, (np.ndarray, np.generic)):
            value = value.tolist()
        if name.endswith(JSON_SUFFIX):
            name, value = name.removesuffix(JSON_SUFFIX), json.loads(value)
        attributes[name] = value
    return attributes
