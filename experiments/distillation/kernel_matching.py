"""When two networks of different widths see the same, and training one until it does.

Their kernels are equal then.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from experiments.distillation.teacher_features import Batch, sampled_features
from nstjax.network.vgg import Params, Pool

# Layers that the published presets read; the others only have to lead there.
PRESET_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
OTHER_LAYERS_WEIGHT = 0.25
# The presets read relus more often than convolutions.
CONVOLUTION_WEIGHT = 0.5
WARM_UP_STEPS = 50
LARGEST_GRADIENT_NORM = 10.0
# Adam's steps have one size for all numbers. conv1_1 is trained for an input of unit
# size, like the other layers', though it gets a picture in 0..255.
INPUT_SCALE = 64.0


class Mismatch(NamedTuple):
    """Relative squared errors of a kernel: 0 where it is matched."""

    kernel: Array  # of K = F·Fᵀ itself
    centered: Array  # of K for activations less their mean over the positions


def kernel_mismatch(student: ArrayLike, teacher: ArrayLike) -> Mismatch:
    """How far the student's kernel over positions is from the teacher's.

    With F the student's and T the teacher's activations [positions, channels] at the
    same positions, of one picture or several, K = F Fᵀ and L = T Tᵀ
    [positions, positions]:

    kernel = ‖K - L‖² / ‖L‖², centered = ‖H (K - L) H‖² / ‖H L H‖², H = I - 1/n.

    Where K = L for the positions of two pictures, both networks give them the same
    style loss, ‖F₁ᵀF₁ - F₂ᵀF₂‖² = Σ K₁₁² - 2 Σ K₁₂² + Σ K₂₂², and the same content
    loss, Σ_k K₁₁(k, k) - 2 K₁₂(k, k) + K₂₂(k, k), although their channels differ in
    number and meaning: so weights mean the same with both. K leans on the mean
    activation, its largest component; the centered kernel weighs the rest.
    """
    K = jnp.asarray(student) @ jnp.asarray(student).T
    L = jnp.asarray(teacher) @ jnp.asarray(teacher).T

    def error(K: Array, L: Array) -> Array:
        return jnp.square(K - L).sum() / jnp.square(L).sum()

    def center(K: Array) -> Array:
        K = K - K.mean(0, keepdims=True)
        return K - K.mean(1, keepdims=True)

    return Mismatch(error(K, L), error(center(K), center(L)))


def matching_loss(
    student: Mapping[str, Array], teacher: Mapping[str, Array]
) -> tuple[Array, dict[str, Mismatch]]:
    """Sum of the mismatches over the convolutions and their ReLUs.

    Of {convB_I: activation [positions, channels]}, of any numbers of channels; with
    the mismatch of each layer's ReLU.
    """
    loss = jnp.zeros(())
    mismatches = {}
    for layer, activation in student.items():
        weight = 1.0 if layer in PRESET_LAYERS else OTHER_LAYERS_WEIGHT
        relu = kernel_mismatch(jax.nn.relu(activation), jax.nn.relu(teacher[layer]))
        convolution = kernel_mismatch(activation, teacher[layer])
        loss += weight * (sum(relu) + CONVOLUTION_WEIGHT * sum(convolution))
        mismatches[layer.replace("conv", "relu")] = relu
    return loss, mismatches


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

    def rows(activation: ArrayLike) -> Array:
        """[positions, channels]; an inner product is a mean over the channels."""
        rows = jnp.asarray(activation, jnp.float32)
        return rows.reshape(-1, rows.shape[-1]) / rows.shape[-1] ** 0.5

    student = sampled_features(params, batch.pictures, batch.positions, pool)
    return matching_loss(
        *(jax.tree.map(rows, part) for part in (student, batch.teacher))
    )


def _scale_input(params: Params, factor: float) -> Params:
    first = params["conv1_1"]
    return {**params, "conv1_1": {**first, "kernel": first["kernel"] * factor}}
