"""A training's whole state on disk, so that a killed training goes on bit for bit."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nstjax.errors import InputError
from nstjax.io.checkpoint import checkpoint_record, read_checkpoint, write_checkpoint
from nstjax.io.stored import Amount

State = TypeVar("State")
KEPT = 2


class Progress(msgspec.Struct):
    """Updates since the log's last line, seconds in all, and ``Batches.state``."""

    rows: list[dict[str, float]]
    seconds: Amount
    batches: dict[str, Any]


def save_checkpoint(folder: Path, step: int, state: object, progress: Progress) -> None:
    """Write a checkpoint whole or not at all, and delete all but the last two."""
    folder.mkdir(exist_ok=True)
    record = msgspec.to_builtins(progress)
    write_checkpoint(folder / f"{step:06}.safetensors", state, record=record)
    for path in _checkpoints(folder)[:-KEPT]:
        path.unlink()


def last_checkpoint(folder: Path, like: State) -> tuple[State, Progress] | None:
    """The last checkpoint of a training whose states are ``like`` one; None: no one."""
    paths = _checkpoints(folder)
    if not paths:
        # Folders with steps' numbers were written before checkpoints were files.
        if any(path.is_dir() and path.name.isdecimal() for path in folder.glob("*")):
            raise InputError(
                f"{folder} holds checkpoints of another version of nstjax: choose "
                "another --workdir"
            )
        return None
    return read_checkpoint(paths[-1], like), checkpoint_record(paths[-1], Progress)


def _checkpoints(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob("*.safetensors") if path.stem.isdecimal()]
    return sorted(paths, key=lambda path: int(path.stem))
