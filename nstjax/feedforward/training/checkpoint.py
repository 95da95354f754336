"""A training's whole state on disk, by orbax: a killed training goes on bit for bit."""

import stat
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import orbax.checkpoint as ocp

from nstjax.errors import InputError
from nstjax.io.config import START_AGAIN
from nstjax.io.stored import damaged

State = TypeVar("State")
KEPT = 2


class Checkpoints(NamedTuple):
    """The checkpoints of one training.

    Attributes:
      manager: orbax's; it writes each checkpoint whole or not at all.
    """

    manager: ocp.CheckpointManager

    def save(self, step: int, state: object, record: dict[str, Any]) -> None:
        """Write a checkpoint, and delete all but the last two.

        Args:
          step: its number.
          state: any pytree of arrays.
          record: whatever else is needed, as JSON has it.

        Raises:
          OSError: it cannot be written.
        """
        try:
            self.manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(_named_leaves(state)),
                    record=ocp.args.JsonSave(record),
                ),
            )
            self.manager.wait_until_finished()
        # tensorstore fails with errors of many types.
        except Exception as error:
            raise OSError(
                f"checkpoint {self.manager.directory / str(step)} cannot be written "
                f"({' '.join(str(error).split())[:200]})"
            ) from error

    def restore(self, like: State) -> tuple[State, dict[str, Any]] | None:
        """The last checkpoint, or None where there is none.

        Args:
          like: a state of the same training.

        Raises:
          InputError: the checkpoint is damaged or another network's.
        """
        step = self.manager.latest_step()
        if step is None:
            return None
        leaves = _named_leaves(like)
        try:
            _check_files(Path(self.manager.directory) / str(step))
            restored = self.manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(
                        jax.tree.map(ocp.utils.to_shape_dtype_struct, leaves)
                    ),
                    record=ocp.args.JsonRestore(),
                ),
            )
            values = [restored.state[name] for name in leaves]
            record = dict(restored.record)
        # Damaged files make orbax and tensorstore fail with errors of many types.
        except Exception as error:
            raise InputError(
                f"checkpoint {self.manager.directory / str(step)} does not fit this "
                f"network or is damaged ({' '.join(str(error).split())[:200]}): "
                f"{START_AGAIN}"
            ) from error
        return jax.tree.unflatten(jax.tree.structure(like), values), record


def open_checkpoints(folder: Path) -> Checkpoints:
    """The checkpoints in a folder, which is made where it is missing.

    Raises:
      InputError: it holds something else than checkpoints.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT,
        enable_async_checkpointing=False,
        # Of a training that was killed while it wrote.
        cleanup_tmp_directories=True,
    )
    try:
        return Checkpoints(ocp.CheckpointManager(folder.resolve(), options=options))
    # As above.
    except Exception as error:
        raise damaged(folder, error, START_AGAIN) from error


def _check_files(folder: Path) -> None:
    """Raise ``ValueError`` for links and pipes: other files, or ones without an end."""
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{path.relative_to(folder)} is no regular file")


def _named_leaves(state: object) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
