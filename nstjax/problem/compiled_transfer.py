"""The optimization over the image that a preset asks for, and its compiled steps."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nstjax.losses.objective import loss_function
from nstjax.losses.total import LossOptions
from nstjax.network.vgg import MEAN_RGB
from nstjax.optimization.optimizers import OptimizerOptions, make_optimizer
from nstjax.optimization.sharding import shard_loss, shard_transfer
from nstjax.optimization.steps import CompiledSteps, compile_steps, steps_of_gradient
from nstjax.optimization.transfer import StyleTransfer, TransferState, style_transfer
from nstjax.presets.preset import Preset
from nstjax.tiling.loss import tiled_loss


def make_transfer(preset: Preset, mesh: Mesh | None = None) -> StyleTransfer:
    """The preset's optimization over the image, not compiled: to ``vmap``, say.

    Its step takes the fields of ``TransferData`` after the state.
    """
    return _transfer(preset.loss, preset.optimizer, mesh)


@functools.lru_cache
def compiled_transfer(
    loss: LossOptions, optimizer: OptimizerOptions, mesh: Mesh | None, tile: int | None
) -> tuple[Callable[[ArrayLike], TransferState], CompiledSteps]:
    """One compilation for all pictures and numbers."""
    transfer = _transfer(loss, optimizer, mesh)
    if tile is None:
        return jax.jit(transfer.init), compile_steps(transfer)
    steps = steps_of_gradient(tiled_loss(tile, loss), transfer.update)
    return jax.jit(transfer.init), steps


def _transfer(
    loss: LossOptions, optimizer: OptimizerOptions, mesh: Mesh | None
) -> StyleTransfer:
    loss_fn = loss_function(loss, 1 if mesh is None else mesh.size)
    transfer = style_transfer(
        loss_fn if mesh is None else shard_loss(loss_fn, mesh),
        make_optimizer(
            optimizer.name, optimizer.lbfgs_num_correction, optimizer.adam_betas
        ),
        project=to_displayable if optimizer.clamp else None,
        average_decay=optimizer.average_decay if optimizer.keep == "average" else None,
        pass_step=True,
    )
    return transfer if mesh is None else shard_transfer(transfer, mesh)


def to_displayable(image: Array) -> Array:
    """An image in the network's units, cut to what can be shown."""
    mean = MEAN_RGB[None, None, :]
    return jnp.clip(image, -mean, 255.0 - mean)
