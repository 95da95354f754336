"""One image over several devices: each has some of its rows.

    mesh = row_mesh(4)
    problem = prepare(content, styles, params, preset, mesh=mesh)

XLA splits the compiled step as the image is split: every convolution takes the row next
to its own from either neighbor, forward and backward, and every Gram matrix is summed
over all devices. An array is split where the devices divide its rows; where they do not
it lies whole on every device, and only what is computed from it is split.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from nstjax.losses.objective import LossFunction
from nstjax.losses.terms import LossTerms, Region, Targets
from nstjax.optimization.transfer import (
    StyleTransfer,
    TransferInfo,
    TransferState,
)
from nstjax.runtime.mesh import ROWS


def split_rows(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays [rows, …] split over the mesh; without one as they are."""
    if mesh is None:
        return tree
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, row_sharding(jnp.shape(leaf), mesh)), tree
    )


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays that lie whole on every device of the mesh; without one as they are."""
    if mesh is None:
        return tree
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def place_state(state: TransferState, mesh: Mesh | None) -> TransferState:
    """A state split over the mesh, L-BFGS's pairs as well; without one as it is."""
    if mesh is None:
        return state
    return jax.device_put(state, state_shardings(state, mesh))


def place_targets(targets: Targets, mesh: Mesh | None) -> Targets:
    """Targets whose activations and guides are split; without a mesh as they are."""

    def placed(region: Region) -> Region:
        return replicate(region, mesh)._replace(guides=split_rows(region.guides, mesh))

    return Targets(
        split_rows(targets.content, mesh),
        replicate(targets.style, mesh),
        tuple(map(placed, targets.regions)),
    )


def shard_loss(loss_fn: LossFunction, mesh: Mesh) -> LossFunction:
    """The same loss, of an image that is split over the mesh for all that follows."""

    def sharded(image: Array, *data: object) -> tuple[Array, LossTerms]:
        rows = NamedSharding(mesh, PartitionSpec(ROWS))
        # Unlike the arguments of a program, its inner arrays may be split unevenly.
        return loss_fn(jax.lax.with_sharding_constraint(image, rows), *data)

    return sharded


def shard_transfer(transfer: StyleTransfer, mesh: Mesh) -> StyleTransfer:
    """The same pair of functions, whose states are split over the mesh."""

    def placed(state: TransferState) -> TransferState:
        return jax.lax.with_sharding_constraint(state, state_shardings(state, mesh))

    def init(image: ArrayLike) -> TransferState:
        return placed(transfer.init(image))

    def step(state: TransferState, *data: object) -> tuple[TransferState, TransferInfo]:
        state, info = transfer.step(state, *data)
        whole = NamedSharding(mesh, PartitionSpec())
        # What comes out goes in again: another sharding would be another program.
        return placed(state), jax.lax.with_sharding_constraint(info, whole)

    return StyleTransfer(init, step, transfer.update)


def state_shardings(state: TransferState, mesh: Mesh) -> TransferState:
    """Where each leaf of a state lies: images and stacks of images by rows."""
    image_shape = jnp.shape(state.image)

    def sharding(leaf: ArrayLike) -> NamedSharding:
        shape = jnp.shape(leaf)
        axis = len(shape) - len(image_shape)
        if axis < 0 or shape[axis:] != image_shape:
            return NamedSharding(mesh, PartitionSpec())
        return row_sharding(shape, mesh, axis)

    shardings: TransferState = jax.tree.map(sharding, state)
    return shardings


def row_sharding(shape: tuple[int, ...], mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Where an array lies whose rows are an axis: split, if they divide evenly."""
    if shape[axis] % mesh.size:
        return NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, ROWS))
