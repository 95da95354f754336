"""When two networks of different widths see the same: their kernels are equal."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

# Layers that the published presets read; the others only have to lead there.
PRESET_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1")
OTHER_LAYERS_WEIGHT = 0.25
# The presets read relus more often than convolutions.
CONVOLUTION_WEIGHT = 0.5


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
    return Mismatch(_relative(K, L), _relative(_center(K), _center(L)))


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


def _relative(K: Array, L: Array) -> Array:
    return jnp.square(K - L).sum() / jnp.square(L).sum()


def _center(K: Array) -> Array:
    K = K - K.mean(0, keepdims=True)
    return K - K.mean(1, keepdims=True)
