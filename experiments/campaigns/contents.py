"""What a command has written, in a form that two runs of it must have in common."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

DAMAGED = "damaged"
CHECKPOINTS = "checkpoints"


def contents(folder: Path) -> dict[str, str]:
    """{name of a file: digest} of all that is not hidden.

    Seconds are left out, and so is what checkpoints hold, which have them, too.
    """
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if CHECKPOINTS in name.parent.parts:
            if path.parent.name == CHECKPOINTS:
                found[str(name)] = "a checkpoint"
        elif path.is_file() and not path.name.startswith("."):
            try:
                found[str(name)] = hashlib.sha256(_comparable(path)).hexdigest()[:12]
            # A file cut short makes its reader fail with an error of any type.
            except Exception as error:
                found[str(name)] = f"{DAMAGED} ({error})"
    return found


def differences(found: dict[str, str], whole: dict[str, str]) -> list[str]:
    """How the contents of a folder differ from those of an undisturbed command."""
    return [
        f"{name} is {found.get(name, 'missing')}, not {whole.get(name, 'expected')}"
        for name in sorted(found | whole)
        if found.get(name) != whole.get(name)
    ]


def damaged(found: dict[str, str]) -> list[str]:
    """The files that cannot be read."""
    digests = sorted(found.items())
    return [f"{name} is {text}" for name, text in digests if text.startswith(DAMAGED)]


def _comparable(path: Path) -> bytes:
    if path.suffix == ".jsonl":
        # A kill may cut the last line short: the next run removes it.
        lines = path.read_text().split("\n")[:-1]
        return repr([json.loads(line) | {"seconds": None} for line in lines]).encode()
    if path.suffix == ".h5":
        found: list[object] = []

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found.extend((name, key, repr(item.attrs[key])) for key in item.attrs)
            if isinstance(item, h5py.Dataset) and not name.endswith("seconds"):
                array = np.asarray(item[()])
                found.append((name, item.dtype, item.shape, array.tolist()))

        with h5py.File(path) as file:
            visit("", file)
            file.visititems(visit)
        return repr(found).encode()
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
    return path.read_bytes()
