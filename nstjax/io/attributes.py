"""Plain data as the attributes of an HDF5 object.

Text, numbers and lists of these are attributes as they are; anything else is JSON, in
an attribute ``<name>_json``.
"""

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

JSON_SUFFIX = "_json"


def write_attributes(where: h5py.HLObject, attributes: Mapping[str, Any]) -> None:
    """Write plain data, in the order that h5py lists it in.

    Data that was read is so written again to the same bytes.
    """
    for name, value in sorted(attributes.items()):
        entries = value if isinstance(value, list) and value else [value]
        if all(isinstance(entry, (str, int, float)) for entry in entries):
            where.attrs[name] = value
        else:
            where.attrs[f"{name}{JSON_SUFFIX}"] = json.dumps(value)


def read_attributes(where: h5py.HLObject) -> dict[str, Any]:
    """Read what ``write_attributes`` wrote."""
    attributes = {}
    for name, value in where.attrs.items():
        if name.endswith(JSON_SUFFIX):
            attributes[name.removesuffix(JSON_SUFFIX)] = json.loads(value)
        elif isinstance(value, (np.ndarray, np.generic)):
            attributes[name] = value.tolist()
        else:
            attributes[name] = value
    return attributes
