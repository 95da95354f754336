"""Small feed-forward networks that are made at once, and what they are checked by."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nstjax.feedforward.networks.architecture import Architecture
from nstjax.feedforward.networks.networks import (
    AdaINDecoder,
    TransformNet,
    make_network,
)
from nstjax.feedforward.training.objective import Batch, Objective, TrainingTerms


def random_network(
    architecture: Architecture, seed: int = 0
) -> TransformNet | AdaINDecoder:
    """A network none of whose numbers is what a new one has.

    Kernels keep the size of what they are given, γ and variances are positive, and the
    rows of the styles differ.
    """
    network = nnx.eval_shape(lambda: make_network(architecture))
    random = np.random.default_rng(seed)
    for path, variable in nnx.to_flat_state(nnx.state(network)):
        shape = variable.shape
        if path[-1] == "kernel":
            values = random.normal(size=shape) * np.prod(shape[:3]) ** -0.5
        elif path[-1] in ("gamma", "scale", "var"):
            values = random.uniform(0.5, 1.5, shape)
        else:
            values = random.normal(size=shape) * 0.1
        # Without a program for each shape, as jnp.asarray would compile it.
        variable.set_value(jax.device_put(values))
    return network


def plain_loss(
    network: TransformNet, batch: Batch, objective: Objective, step: jax.Array
) -> tuple[jax.Array, tuple[TrainingTerms, jax.Array]]:
    """A loss that compiles at once, with a number drawn anew for every step."""
    styles = jax.nn.one_hot(batch.style, len(objective.style_weights))
    output = network(batch.content, styles)
    squares = jnp.square(output).mean((1, 2, 3))
    drawn = jax.random.uniform(jax.random.fold_in(objective.key, step))
    loss = objective.weights.content * squares.mean() + drawn
    return loss, (TrainingTerms(squares, squares, squares, squares), output)


@jax.jit
def run(network: nnx.Module, *inputs: jax.Array) -> jax.Array:
    """What a network makes of them, as one program."""
    return network(*inputs)


def noise(*shape: int, seed: int = 1) -> jax.Array:
    """Uniform in 0..1."""
    return jax.device_put(np.random.default_rng(seed).uniform(size=shape))


def in_numpy(parameter: nnx.Variable) -> np.ndarray:
    """In float64."""
    return np.float64(parameter[...])


def normalize(
    x: np.ndarray,
    axes: tuple[int, ...],
    gamma: np.ndarray,
    beta: np.ndarray,
    epsilon: float = 1e-5,
) -> np.ndarray:
    """γ·(x - mean)/√(variance + ε) + β, with statistics over ``axes``."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta
