"""A run's whole state on disk, so that a killed run goes on bit for bit."""

import os
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy

from nstjax.io.atomic import atomic_path
from nstjax.io.config import START_AGAIN
from nstjax.io.stored import check_tensors, damaged, open_tensors, tensors_sha256
from nstjax.runtime.processes import to_numpy

State = TypeVar("State")
SCALE = "pyramid/scale"
SCALE_SHAPE = ((), np.dtype(np.int32))


def write_checkpoint(
    path: str | os.PathLike[str], state: object, scale: int = 0
) -> None:
    """Write every leaf of the state, any pytree, as safetensors, atomically.

    The file also holds the index of the pyramid's scale that the state is of; its
    metadata hold the SHA-256 of all bytes.
    """
    leaves = {name: to_numpy(leaf) for name, leaf in _by_name(state).items()}
    leaves[SCALE] = np.array(scale, np.int32)
    sha256 = tensors_sha256(dict(sorted(leaves.items())))
    contents = safetensors.numpy.save(leaves, {"sha256": sha256})
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)


def checkpoint_scale(path: str | os.PathLike[str], scales: int) -> int:
    """The index of the scale, of so many, that a checkpoint is of."""
    with open_tensors(path, START_AGAIN) as file:
        check_tensors(path, file, {SCALE: SCALE_SHAPE}, [SCALE], START_AGAIN)
        scale = int(file.get_tensor(SCALE))
    if not 0 <= scale < scales:
        raise damaged(
            path, f"{SCALE} is {scale}, expected 0..{scales - 1}", START_AGAIN
        )
    return scale


def read_checkpoint(path: str | os.PathLike[str], like: State) -> State:
    """Read a state back, to the devices of another state of the same run.

    Raises:
      InputError: the file is damaged, or it is another run's.
    """
    expected = _by_name(like)
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in expected.items()}
    with open_tensors(path, START_AGAIN) as file:
        check_tensors(
            path, file, shapes | {SCALE: SCALE_SHAPE}, file.keys(), START_AGAIN
        )
        leaves = {name: file.get_tensor(name) for name in sorted(file.keys())}
        recorded = (file.metadata() or {}).get("sha256")
    if recorded != tensors_sha256(leaves):
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
