"""Files that may have been sent around and edited: read only as what they should be."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import safetensors

from nstjax.errors import InputError
from nstjax.io.paths import StrPath
from nstjax.presets.settings import LARGEST_NUMBER

Kind = TypeVar("Kind")

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
# A number that is not finite is out of any bounds.
Number = Annotated[float, msgspec.Meta(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=LARGEST_NUMBER)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
# What is shown or printed: one line, and none that goes on for pages.
LINE = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, msgspec.Meta(max_length=4096, pattern=LINE)]
# Not of a file's name, of which any byte comes back: see ``_check_plain``.
DRAWABLE = r"^[^\x00-\x1f\x7f\ud800-\udfff]*$"
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=DRAWABLE)]

DEEPEST = 16
MOST_JSON_BYTES = 2**24
MOST_HEADER_BYTES = 2**24
MOST_SHOWN = 200
MOST_SETTING = 70


def check_file(path: StrPath, remedy: str, most_bytes: int = 2**63) -> None:
    """Raise ``InputError`` unless a path is a regular file of a sensible size."""
    # It is not opened: a pipe would never end.
    if not os.path.exists(path):
        problem = "does not exist"
    elif os.path.isdir(path):
        problem = "is a folder"
    elif not os.path.isfile(path):
        problem = "is no regular file"
    elif os.path.getsize(path) > most_bytes:
        problem = f"is larger than {most_bytes >> 20} MiB"
    else:
        return
    raise InputError(f"{os.fspath(path) or 'a file of no name'} {problem}: {remedy}")


def read_record(path: StrPath, kind: type[Kind], remedy: str) -> Kind:
    """Read a file of JSON as a type; ``InputError`` where it is something else."""
    check_file(path, remedy, MOST_JSON_BYTES)
    return decode(Path(path).read_bytes(), kind, os.fspath(path), remedy)


def decode(text: str | bytes, kind: type[Kind], where: str, remedy: str) -> Kind:
    """JSON as a type; a message names the file, or the part of one, and a remedy."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(where, error, remedy) from error
    return convert(value, kind, where, remedy)


def convert(value: Any, kind: type[Kind], where: str, remedy: str) -> Kind:
    """Plain data as a type; otherwise as ``decode``."""
    try:
        _check_plain(value, DEEPEST)
        return msgspec.convert(value, kind)
    except ValueError as error:
        raise damaged(where, error, remedy) from error


def damaged(where: StrPath, problem: object, remedy: str) -> InputError:
    """The error of a file, or of a part of one: what was found, and what to do."""
    # msgspec writes: Expected `int`, got `str` - at `$.preset.steps`.
    words, _, field = " ".join(str(problem).split()).partition(" - at ")
    field = field.strip("`").removeprefix("$").removeprefix(".")
    words = f"{field}: {words}" if field else words or type(problem).__name__
    if len(words) > MOST_SHOWN:
        words = f"{words[:MOST_SHOWN]}…"
    return InputError(f"{os.fspath(where)} is damaged ({words}): {remedy}")


def short_json(value: Any) -> str:
    """A setting as an error line has it, cut short where it is long."""
    text = json.dumps(value)
    return text if len(text) <= MOST_SETTING else f"{text[:MOST_SETTING]}…"


@contextlib.contextmanager
def open_tensors(path: StrPath, remedy: str, most_bytes: int = 2**63) -> Iterator[Any]:
    """Open a safetensors file; its library checks that the tensors fill the file."""
    check_file(path, remedy, most_bytes)
    try:
        with open(path, "rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > MOST_HEADER_BYTES:
            raise ValueError(f"a header of {header_bytes} bytes")
        with safetensors.safe_open(path, framework="numpy") as opened:
            yield opened
    except InputError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{os.fspath(path)} is not readable as a safetensors file, perhaps cut "
            f"short ({error}): {remedy}"
        ) from error


def check_tensors(
    path: StrPath,
    file: Any,
    expected: Mapping[str, tuple[Sequence[int], Any]],
    names: Iterable[str],
    remedy: str,
) -> None:
    """Compare tensors with {name: shape and dtype}, before any is read.

    A tensor in ``names`` that is in the file, but not expected, is an error.
    """
    known = set(file.keys())
    for name in (*expected, *names):
        found = wanted = "none"
        if name in known:
            part = file.get_slice(name)
            found = f"{part.get_dtype()} {list(part.get_shape())}"
        if name in expected:
            shape, dtype = expected[name]
            letter, bits = np.dtype(dtype).kind.upper(), 8 * np.dtype(dtype).itemsize
            wanted = f"{'BOOL' if letter == 'B' else f'{letter}{bits}'} {list(shape)}"
        if found != wanted:
            raise InputError(
                f"{os.fspath(path)} is damaged or another run's ({name} is {found}, "
                f"expected {wanted}): {remedy}"
            )


def tensors_sha256(tensors: Mapping[str, np.ndarray], text: str = "") -> str:
    """SHA-256 over each tensor's name and bytes, in their order, and a text."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    digest.update(text.encode())
    return digest.hexdigest()


def _check_plain(value: Any, levels: int) -> None:
    """Raise ``ValueError`` for what JSON can hold, but no part of the system can."""
    if levels == 0:
        raise ValueError(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("text with a zero byte")
        # Python has the bytes of a file's name that are no UTF-8 as such surrogates.
        value.encode(errors="surrogateescape")
    elif isinstance(value, dict | list):
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_plain(entry, levels - 1)
