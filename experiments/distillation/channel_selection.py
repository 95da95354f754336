"""A narrow network to start from: chosen channels of VGG-19, imitated in turn."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.distillation.teacher_features import Batch
from nstjax.network.architecture import CONV_LAYERS, LAYERS
from nstjax.network.vgg import Params, Pool, features, preprocess

RIDGE = 1e-3


def select_channels(activation: np.ndarray, count: int) -> np.ndarray:
    """Channels [count], rising, that span most of the rest: a pivoted Cholesky.

    With G = FᵀF/n for F [positions, channels] less what the channels chosen so far
    explain, the next one is argmax_j Σ_i G_ij² / G_jj, which lowers the trace of what
    is left most.
    """
    left = activation.astype(np.float64).T @ activation.astype(np.float64)
    left /= len(activation)
    floor = 1e-12 * max(left.trace(), 1e-300)
    chosen: list[int] = []
    for _ in range(count):
        gain = np.square(left).sum(0) / np.maximum(left.diagonal(), floor)
        gain[chosen] = -1.0
        pivot = int(gain.argmax())
        chosen.append(pivot)
        column = left[:, pivot] / np.sqrt(max(left[pivot, pivot], floor))
        left = left - np.outer(column, column)
    return np.sort(chosen)


def imitate(
    widths: Mapping[str, int], batches: Sequence[Batch], pools: Sequence[Pool]
) -> Params:
    """A narrow network whose every channel imitates one of VGG-19's.

    Each layer's kernel is the ridge regression from the narrow network's own input of
    the layer to VGG-19's chosen channels, then scaled so that the mean of its squared
    ReLUs is the mean over all of VGG-19's channels. Widths are {convB_I: channels}.
    """
    params: Params = {}
    for layer in CONV_LAYERS:
        teacher = _flat(np.concatenate([batch.teacher[layer] for batch in batches]))
        chosen = select_channels(np.maximum(teacher, 0), widths[layer])
        normal = moment = np.zeros(())
        for batch, pool in zip(batches, pools, strict=True):
            patches = _patches(params, layer, batch, pool)
            targets = _flat(batch.teacher[layer])[:, chosen]
            normal = normal + patches.T @ patches
            moment = moment + patches.T @ targets
        normal = normal + RIDGE * normal.trace() / len(normal) * np.eye(len(normal))
        solution = np.linalg.solve(normal, moment)
        energy = np.square(np.maximum(teacher, 0)).mean(0)
        solution *= np.sqrt(energy.mean() / energy[chosen].mean())
        kernel = solution[:-1].reshape(3, 3, -1, widths[layer])
        params[layer] = {
            "kernel": jnp.asarray(kernel, jnp.float32),
            "bias": jnp.asarray(solution[-1], jnp.float32),
        }
    return params


def _flat(activation: np.ndarray) -> np.ndarray:
    return activation.reshape(-1, activation.shape[-1]).astype(np.float64)


def _patches(params: Params, layer: str, batch: Batch, pool: Pool) -> np.ndarray:
    """Inputs around the positions, and 1 for the bias: [positions, 9·channels + 1]."""

    def input_of(picture: Array) -> Array:
        image = preprocess(picture.astype(jnp.float32))
        if layer == CONV_LAYERS[0]:
            return image
        before = LAYERS[LAYERS.index(layer) - 1]
        return features(params, image, [before], pool=pool)[before]

    inputs = np.asarray(jax.vmap(input_of)(jnp.asarray(batch.pictures)))
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = np.divmod(batch.positions[:, int(layer[4]) - 1], inputs.shape[2])
    picture = np.arange(len(inputs))[:, None]
    patches = np.concatenate(
        [padded[picture, rows + i, columns + j] for i in range(3) for j in range(3)],
        axis=-1,
    )
    return np.pad(_flat(patches), ((0, 0), (0, 1)), constant_values=1.0)
