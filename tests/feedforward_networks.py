"""Small feed-forward networks that are made at once, and what they are checked by."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nstjax.feedforward.networks.architecture import Architecture
from nstjax.feedforward.networks.networks import Network, TransformNet, make_network
from nstjax.feedforward.training.objective import Batch, Objective, TrainingTerms


def drawn_network(
    architecture: Architecture, draw: Callable[[str, tuple[int, ...]], np.ndarray]
) -> Network:
    """A network whose parameters are drawn by their names and shapes."""
    network = nnx.eval_shape(lambda: make_network(architecture))
    for path, variable in nnx.to_flat_state(nnx.state(network)):
        # Without a program for each shape, as jnp.asarray would compile it.
        variable.set_value(jax.device_put(draw(str(path[-1]), variable.shape)))
    return network


def random_network(architecture: Architecture, seed: int = 0) -> Network:
    """A network none of whose numbers is what a new one has.

    Kernels keep the size of what they are given, γ and variances are positive, and the
    rows of the styles differ.
    """
    random = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name == "kernel":
            return random.normal(size=shape) * np.prod(shape[:3]) ** -0.5
        if name in ("gamma", "scale", "var"):
            return random.uniform(0.5, 1.5, shape)
        return random.normal(size=shape) * 0.1

    return drawn_network(architecture, draw)


def plain_loss(
    network: TransformNet, batch: Batch, objective: Objective, step: jax.Array
) -> tuple[jax.Array, tuple[TrainingTerms, jax.Array]]:
    """A loss that compiles at once, with a number drawn anew for every step."""
    styles = jax.nn.one_hot(batch.style, len(objective.style_weights))
    output = network(batch.content, styles)
    squares = jnp.square(output).mean((1, 2, 3))
    drawn = jax.random.uniform(jax.random.fold_in(objective.key, step))
    loss = objective.weights.content * squares.mean() + drawn
    return loss, (TrainingTerms(*[squares] * 5), output)


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


def correlate(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Σ x[i·stride + k, j·stride + l, c] w[k, l, c, o]."""
    size = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return np.einsum("bijckl,klco->bijo", windows[:, ::stride, ::stride], kernel)


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
