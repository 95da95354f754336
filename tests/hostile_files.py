"""Files that somebody damaged or made up, from real ones."""

import contextlib
import copy
import functools
import json
import math
import operator
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import safetensors
import safetensors.numpy

Change = Callable[[pathlib.Path], object]
# Names for what is wrong, and what makes a real file so.
Cases = Iterator[tuple[str, Change]]
DEEP = 100_000
# Attributes of HDF5's dimension scales, which other programs read.
SCALES = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS")
# What a field of JSON may become.
VALUES = (
    None, True, -1, 0.5, 10**400, math.nan, math.inf, "", "text", "a\0b", "../\ud800",
    "x" * 100_000, [], [-1], [[None]], {}, {"a": {}}, {"schema": [1]},
)  # fmt: skip


def write(text: str | bytes) -> Change:
    contents = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return lambda path: path.write_bytes(contents)


# --- JSON -----------------------------------------------------------------------------


def json_changes(document: Any) -> Cases:
    """No JSON or other JSON; every field replaced by every value, and left out."""
    text = json.dumps(document)
    for whole in ("", "null", "[]", "1", '"text"', "{}", "{" * 99, text[:-3], text * 2):
        yield f"{whole:.10}", write(whole)
    yield "deep", write("[" * DEEP + "]" * DEEP)
    yield "deep tables", write('{"settings":' * DEEP + "1" + "}" * DEEP)
    yield "no text", write(b"\xff\xfe\x00{}")
    for path in field_paths(document):
        name = ".".join(map(str, path))
        old = functools.reduce(operator.getitem, path, document)
        for value in VALUES:
            if old != value or type(old) is not type(value):
                yield f"{name} = {value!r:.20}", with_field(document, path, value)
        yield f"no {name}", with_field(document, path)


def with_field(document: Any, path: tuple, *value: Any) -> Change:
    def change(file: pathlib.Path) -> None:
        changed = copy.deepcopy(document)
        parent = functools.reduce(operator.getitem, path[:-1], changed)
        if value:
            (parent[path[-1]],) = value
        else:
            del parent[path[-1]]
        file.write_text(json.dumps(changed))

    return change


def field_paths(document: Any, before: tuple = ()) -> Iterator[tuple]:
    is_table = isinstance(document, dict)
    for name, value in document.items() if is_table else enumerate(document[:2]):
        yield (*before, name)
        if isinstance(value, dict | list):
            yield from field_paths(value, (*before, name))


# --- HDF5 -----------------------------------------------------------------------------


def hdf5_changes(path: pathlib.Path) -> Cases:
    """Every object and every attribute of a file made something else."""
    names, datasets, attributes = ["/"], {}, []
    with h5py.File(path) as file:
        file.visit(names.append)
        for name in names:
            item = file[name]
            attributes += [(name, each) for each in item.attrs if each not in SCALES]
            if isinstance(item, h5py.Dataset):
                datasets[name] = item[()], dict(item.attrs)
    for name, (values, old) in datasets.items():
        for what, make in {**other_arrays(values), **LINKS}.items():
            yield f"{name}: {what}", replaced(name, make, old)
    for name in names[1:]:
        if name not in datasets:
            for what, make in LINKS.items():
                yield f"{name}: {what}", replaced(name, make, {})
            yield f"{name}: itself within", linked_to_itself(name)
    for name, attribute in attributes:
        for value in ATTRIBUTES:
            change = with_attribute(name, attribute, value)
            yield f"{name} @{attribute} = {value!r:.20}", change


def in_hdf5(change: Callable[[h5py.File], object]) -> Change:
    def change_file(path: pathlib.Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return change_file


def replaced(name: str, make: Callable, attributes: dict[str, Any]) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        make(file, name)
        if isinstance(file.get(name, getlink=True), h5py.HardLink):
            for each, value in attributes.items():
                with contextlib.suppress(TypeError):
                    file[name].attrs[each] = value

    return in_hdf5(change)


def linked_to_itself(name: str) -> Change:
    return in_hdf5(lambda file: linked(file[name])(file, f"{name}/again"))


def with_attribute(name: str, attribute: str, value: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[name].attrs[attribute]
        if value is not None:
            file[name].attrs[attribute] = value

    return in_hdf5(change)


ATTRIBUTES = (
    None, -1, math.nan, "", "text", "{", "[" * 50_000, "\u2028x" * 30, b"\xff\xfe",
    np.zeros((2, 2)), np.array([], "f8"), ["a", "b", "c", "d"], h5py.Empty("f4"),
    '{"settings": {"alpha": -1}}', '{"request": [1]}',
)  # fmt: skip


def other_arrays(values: np.ndarray) -> dict[str, Callable]:
    """What a dataset may be instead, by what is wrong with it."""
    values = np.asarray(values)
    shape = values.shape

    def array(other: Any) -> Callable:
        return lambda file, name: file.create_dataset(name, data=other)

    def claimed(claim: tuple[int, ...], **options: Any) -> Callable:
        return lambda file, name: file.create_dataset(
            name, claim, "f4", fillvalue=0.0, **options
        )

    def virtual(file: h5py.File, name: str) -> None:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource("elsewhere.h5", "data", shape)
        file.create_virtual_dataset(name, layout)

    def elsewhere(file: h5py.File, name: str) -> None:
        bytes_there = [("/etc/passwd", 0, max(4 * math.prod(shape), 1))]
        file.create_dataset(name, shape, "f4", external=bytes_there)

    large = tuple(30_000 for _ in shape)
    found: dict[str, Callable] = {
        "group": lambda file, name: file.create_group(name),
        "text": array(np.full(shape, b"text")),
        "complex": array(np.zeros(shape, "c8")),
        "one axis more": array(np.zeros((*shape, 1), "f4")),
        "longer": array(np.zeros(tuple(side + 1 for side in shape), "f4")),
        "virtual": virtual,
        "other file's bytes": elsewhere,
    }
    if shape:
        found["empty"] = array(np.zeros((0, *shape[1:]), "f4"))
        found["claims much"] = claimed(large)
        found["claims much, compressed"] = claimed(
            large, chunks=tuple(100 for _ in shape), compression="gzip"
        )
    if values.dtype.kind in "fiu":
        found["scalar"] = array(1.0)
        found["integers"] = array(np.zeros(shape, "i4"))
        found["not finite"] = array(np.full(shape, np.nan, "f8"))
        found["huge"] = array(np.full(shape, 1e308))
        signed = values.dtype.kind.replace("u", "i")
        found["negative"] = array(np.full(shape, -7, signed))
        found["all the same"] = array(np.full(shape, 3, values.dtype))
        found["large"] = array(np.full(shape, 200, values.dtype))
    return found


def linked(target: Any) -> Callable:
    return lambda file, name: operator.setitem(file, name, target)


LINKS: dict[str, Callable] = {
    "missing": lambda file, name: None,
    "link to itself": lambda file, name: linked(h5py.SoftLink(f"/{name}"))(file, name),
    "link to nothing": linked(h5py.SoftLink("/nowhere")),
    "link to a pipe": linked(h5py.ExternalLink("pipe", "/")),
}


# --- safetensors ----------------------------------------------------------------------


def tensor_changes(path: pathlib.Path) -> Cases:
    """Every tensor and every word of the metadata of a safetensors file changed."""
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}

    def case(name: str, tensors: dict, metadata: dict) -> tuple[str, Change]:
        return name, write(safetensors.numpy.save(tensors, metadata))

    def without(table: dict, name: str) -> dict:
        return {each: table[each] for each in table if each != name}

    for name, tensor in tensors.items():
        others = {
            "another type": np.asarray(tensor, np.float64),
            "one axis more": tensor[None],
            "longer": np.zeros(tuple(side + 1 for side in tensor.shape), tensor.dtype),
            "not finite": np.full(tensor.shape, np.nan, np.float32),
            "negative": np.full_like(tensor, -1),
        }
        for what, other in others.items():
            yield case(f"{name}: {what}", {**tensors, name: other}, metadata)
        yield case(f"{name}: missing", without(tensors, name), metadata)
    yield case("a tensor more", {**tensors, "more": np.zeros(3, np.float32)}, metadata)
    for name in metadata:
        for value in ("", "text", "{}", "[" * DEEP, "null", '{"a": "\\u0000"}', "[1]"):
            yield case(f"{name} = {value:.9}", tensors, {**metadata, name: value})
        yield case(f"no {name}", tensors, without(metadata, name))
    for name, header in {
        "much": b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}',
        "deep": b'{"a":' + b"[" * DEEP,
        "text": b"text",
    }.items():
        start = len(header).to_bytes(8, "little")
        yield f"header: {name}", write(start + header + b"\0" * 4)
    yield "header: long", write((2**40).to_bytes(8, "little") + b"{}")


# --- any file -------------------------------------------------------------------------


def byte_changes(contents: bytes, count: int = 20) -> Cases:
    """The file cut short, and single bits flipped, at places chosen at random."""
    random = np.random.default_rng(0)
    for place in sorted(random.integers(0, len(contents), count).tolist()):
        yield f"cut at {place}", write(contents[:place])
        flipped = bytearray(contents)
        flipped[place] ^= 1 << int(random.integers(8))
        yield f"flipped at {place}", write(bytes(flipped))
