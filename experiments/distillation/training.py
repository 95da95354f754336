"""The update of the narrow network."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from experiments.distillation.kernel_matching import Mismatch, matching_loss
from experiments.distillation.teacher_features import Batch, sampled_features
from nstjax.network.vgg import Params, Pool

WARM_UP_STEPS = 50
LARGEST_GRADIENT_NORM = 10.0
# Adam's steps have one size for all numbers. conv1_1 is trained for an input of unit
# size, like the other layers', though it gets a picture in 0..255.
INPUT_SCALE = 64.0


class TrainingState(NamedTuple):
    """What the next update needs."""

    # With conv1_1's kernel times ``INPUT_SCALE``; ``trained_params`` gives the network.
    scaled_params: Params
    opt_state: optax.OptState
    step: Array  # how many updates there have been, int32 scalar


class Training(NamedTuple):
    """A pair of functions."""

    init: Callable[[Params], TrainingState]
    # (state, which is donated, batch, pool) -> (state, loss, mismatches)
    step: Callable[..., tuple[TrainingState, Array, dict[str, Mismatch]]]


def training(learning_rate: float, steps: int) -> Training:
    """Adam on the matching loss, with a linear warm-up and a cosine decay to 0."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, min(WARM_UP_STEPS, steps // 2), steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(LARGEST_GRADIENT_NORM), optax.adam(schedule)
    )

    def init(params: Params) -> TrainingState:
        scaled = _scale_input(params, INPUT_SCALE)
        return TrainingState(scaled, optimizer.init(scaled), jnp.int32(0))

    def step(
        state: TrainingState, batch: Batch, pool: Pool
    ) -> tuple[TrainingState, Array, dict[str, Mismatch]]:
        def loss_fn(scaled: Params) -> tuple[Array, dict[str, Mismatch]]:
            return batch_loss(_scale_input(scaled, 1 / INPUT_SCALE), batch, pool)

        scaled = state.scaled_params
        (loss, mismatches), gradient = jax.value_and_grad(loss_fn, has_aux=True)(scaled)
        updates, opt_state = optimizer.update(gradient, state.opt_state, scaled)
        scaled = optax.apply_updates(scaled, updates)
        return TrainingState(scaled, opt_state, state.step + 1), loss, mismatches

    return Training(init, jax.jit(step, static_argnames="pool", donate_argnums=0))


def trained_params(state: TrainingState) -> Params:
    """The network of a state, in the units of ``in_vgg_units``'s argument."""
    return _scale_input(state.scaled_params, 1 / INPUT_SCALE)


def batch_loss(
    params: Params, batch: Batch, pool: Pool
) -> tuple[Array, dict[str, Mismatch]]:
    """The matching loss of a batch: its positions are compared across its pictures."""
    student = sampled_features(params, batch.pictures, batch.positions, pool)
    return matching_loss(
        {layer: _rows(activation) for layer, activation in student.items()},
        {layer: _rows(activation) for layer, activation in batch.teacher.items()},
    )


def _scale_input(params: Params, factor: float) -> Params:
    first = params["conv1_1"]
    return {**params, "conv1_1": {**first, "kernel": first["kernel"] * factor}}


def _rows(activation: ArrayLike) -> Array:
    """[positions, channels], so that an inner product is a mean over the channels."""
    rows = jnp.asarray(activation, jnp.float32)
    return rows.reshape(-1, rows.shape[-1]) / rows.shape[-1] ** 0.5
