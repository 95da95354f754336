"""A run's whole state on disk, so that a killed run goes on bit for bit."""

import hashlib
import os
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors
import safetensors.numpy

from nstjax.distributed import on_host
from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.io.runlog import START_AGAIN

State = TypeVar("State")
SCALE = "pyramid/scale"


def write_checkpoint(
    path: str | os.PathLike[str], state: object, scale: int = 0
) -> None:
    """Write every leaf of the state, any pytree, as safetensors, atomically.

    The file also holds the index of the pyramid's scale that the state is of; its
    metadata hold the SHA-256 of all bytes.
    """
    leaves = _named_leaves(state) | {SCALE: np.array(scale, np.int32)}
    contents = safetensors.numpy.save(leaves, {"sha256": _sha256(leaves)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)


def checkpoint_scale(path: str | os.PathLike[str], scales: int) -> int:
    """The index of the scale that a checkpoint is of; ``read_checkpoint`` needs it.

    Raises:
      InputError: the file is damaged, or has none of ``scales`` scales.
    """
    scale = _verified_leaves(path).get(SCALE)
    if scale is None or not 0 <= scale < scales:
        raise InputError(
            f"checkpoint {path} is another run's (its scale is {scale}): {START_AGAIN}"
        )
    return int(scale)


def read_checkpoint(path: str | os.PathLike[str], like: State) -> State:
    """Read a state back.

    Args:
      path: written by ``write_checkpoint``.
      like: a state of the same run, whose shapes and dtypes the file must have.

    Returns:
      The state, on the devices of the other.

    Raises:
      InputError: the file is damaged, or it is another run's.
    """
    leaves, expected = _verified_leaves(path), _by_name(like)
    for name, leaf in expected.items():
        found = leaves.get(name)
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise InputError(
                f"checkpoint {path} is another run's ({name} does not fit): "
                f"{START_AGAIN}"
            )
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


def _verified_leaves(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            leaves = {name: file.get_tensor(name) for name in names}
            recorded = (file.metadata() or {}).get("sha256")
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"checkpoint {path} cannot be read ({error}): {START_AGAIN}"
        ) from error
    if recorded != _sha256(leaves):
        raise InputError(
            f"checkpoint {path} is damaged (its hash is wrong): {START_AGAIN}"
        )
    return leaves


def _named_leaves(state: object) -> dict[str, np.ndarray]:
    return {name: on_host(leaf) for name, leaf in _by_name(state).items()}


def _by_name(state: object) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def _sha256(leaves: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(leaves):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(leaves[name]).data)
    return digest.hexdigest()
