"""A run's whole state on disk, so that a killed run goes on bit for bit."""

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy

from nstjax.io.atomic import write_atomically
from nstjax.io.config import START_AGAIN
from nstjax.io.paths import StrPath
from nstjax.io.stored import (
    check_tensors,
    damaged,
    decode,
    open_tensors,
    tensors_sha256,
)
from nstjax.runtime.processes import to_numpy

State = TypeVar("State")
Kind = TypeVar("Kind")
SCALE = "pyramid/scale"
SCALE_SHAPE = ((), np.dtype(np.int32))


def write_checkpoint(
    path: StrPath,
    state: object,
    scale: int = 0,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write every leaf of a pytree as safetensors, atomically.

    With it go the index of the pyramid's scale, a record as JSON where there is one,
    and the SHA-256 of all bytes.
    """
    leaves = {name: to_numpy(leaf) for name, leaf in _by_name(state).items()}
    leaves[SCALE] = np.array(scale, np.int32)
    metadata = {} if record is None else {"record": json.dumps(record)}
    metadata["sha256"] = _sha256(leaves, metadata)
    write_atomically(path, safetensors.numpy.save(leaves, metadata))


def checkpoint_scale(path: StrPath, scales: int) -> int:
    """The index of the scale, of so many, that ``read_checkpoint`` needs a state of."""
    with open_tensors(path, START_AGAIN) as file:
        check_tensors(path, file, {SCALE: SCALE_SHAPE}, [SCALE], START_AGAIN)
        scale = int(file.get_tensor(SCALE))
    if not 0 <= scale < scales:
        problem = f"{SCALE} is {scale}, expected 0..{scales - 1}"
        raise damaged(path, problem, START_AGAIN)
    return scale


def checkpoint_record(path: StrPath, kind: type[Kind]) -> Kind:
    """The record of a checkpoint that has one, as a type."""
    with open_tensors(path, START_AGAIN) as file:
        text = (file.metadata() or {}).get("record", "")
    return decode(text, kind, f"the record of {os.fspath(path)}", START_AGAIN)


def read_checkpoint(path: StrPath, like: State) -> State:
    """Read a state with the shapes, dtypes and devices of another of the same run."""
    expected = _by_name(like)
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in expected.items()}
    shapes[SCALE] = SCALE_SHAPE
    with open_tensors(path, START_AGAIN) as file:
        check_tensors(path, file, shapes, file.keys(), START_AGAIN)
        leaves = {name: file.get_tensor(name) for name in shapes}
        metadata = file.metadata() or {}
    if metadata.get("sha256") != _sha256(leaves, metadata):
        raise damaged(path, "its hash is wrong", START_AGAIN)
    return jax.tree.unflatten(
        jax.tree.structure(like),
        [
            # A state on the default device is not bound to it, as none is at first.
            jax.device_put(
                leaves[name],
                leaf.sharding if len(leaf.sharding.device_set) > 1 else None,
            )
            for name, leaf in expected.items()
        ],
    )


def _by_name(state: object) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _sha256(leaves: dict[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    return tensors_sha256(dict(sorted(leaves.items())), metadata.get("record", ""))
