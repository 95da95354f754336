"""What ``experiments.benchmarks.feedforward`` times: the programs of nstjax.

A program is made from a ``Task`` in a process of its own. Those of PyTorch are in
``experiments.benchmarks.feedforward_torch``.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from experiments.benchmarks.feedforward_tasks import Task
from nstjax.feedforward.networks.adain import (
    CODE_LAYER,
    adaptive_instance_normalization,
)
from nstjax.feedforward.networks.networks import (
    AdaINDecoder,
    TransformNet,
    make_network,
)
from nstjax.feedforward.networks.normalization import InstanceNorm, instance_statistics
from nstjax.feedforward.training.objective import (
    Batch,
    Objective,
    make_loss,
    stacked_styles,
)
from nstjax.feedforward.training.presets import LENGSTROM_LOSS
from nstjax.feedforward.training.update import make_training
from nstjax.network.vgg import features, preprocess
from nstjax.problem.problem import make_weights

LOSS = LENGSTROM_LOSS
LEARNING_RATE = 1e-3
FIRST_STEPS = 3


class FirstRun(NamedTuple):
    """What an implementation gives before it is timed.

    Attributes:
      device: such as "cpu".
      compile_seconds: what tracing and compiling took; 0 where nothing is compiled.
      result: the pictures [batch, height, width, 3], or the losses of the first steps.
    """

    device: str
    compile_seconds: float
    result: np.ndarray


# With what does the same so many times and waits for the last.
Program = tuple[FirstRun, Callable[[int], None]]


class Float32InstanceNorm(InstanceNorm):
    """Its statistics in float32, whatever the activation is in."""

    def __call__(self, activation: Array, style: Array) -> Array:
        """Normalize, see ``InstanceNorm``."""
        normalized = super().__call__(activation.astype(jnp.float32), style)
        return normalized.astype(activation.dtype)


def nstjax_inference(task: Task) -> Program:
    """A network's forward pass; arbitrary style's begins with the encoder."""
    use_full_float32(task)
    graph, state = nnx.split(network_of(task))
    images, vgg, style = jax.tree.map(jnp.asarray, (task.images, task.vgg, task.style))
    images, vgg, state = jax.tree.map(
        lambda leaf: leaf.astype(task.precision), (images, vgg, state)
    )

    def encode(vgg: Any, image: Array) -> Array:
        image = preprocess(image).astype(task.precision)
        options: Any = {"pool": "max", "pool_padding": "same"}
        return features(vgg, image, [CODE_LAYER], **options)[CODE_LAYER]

    def restyle(state: nnx.State, vgg: Any, images: Array, style: Any) -> Array:
        network = nnx.merge(graph, state)
        style = jax.tree.map(
            lambda part: jnp.broadcast_to(part[None, :], (len(images), len(part))),
            style,
        )
        if isinstance(network, TransformNet):
            return network(images, style)
        code = jax.vmap(encode, (None, 0))(vgg, images).astype(jnp.float32)
        code = adaptive_instance_normalization(code, instance_statistics(code), style)
        height, width = images.shape[1:3]
        return network(code.astype(task.precision))[:, :height, :width]

    arguments = (state, vgg, images, style)
    start = time.perf_counter()
    compiled = jax.jit(restyle).lower(*arguments).compile()
    seconds = time.perf_counter() - start

    def run(count: int) -> None:
        jax.block_until_ready([compiled(*arguments) for _ in range(count)][-1])

    result = np.asarray(compiled(*arguments), np.float32)
    return FirstRun(jax.default_backend(), seconds, result), run


def nstjax_training(task: Task) -> Program:
    """The product's own training step."""
    use_full_float32(task)
    assert task.paintings is not None
    network = network_of(task)
    training = make_training(network, make_loss(LOSS), optax.adam(LEARNING_RATE))
    state = training.init(network, None)
    vgg = jax.tree.map(jnp.asarray, task.vgg)
    styles = len(task.paintings)
    objective = Objective(
        vgg,
        make_weights(LOSS),
        stacked_styles(vgg, LOSS, list(task.paintings)),
        jnp.ones(styles),
        jax.random.key(0),
    )
    batch = Batch(jnp.asarray(task.images), jnp.arange(len(task.images)) % styles)
    data = (batch, objective, jnp.float32(0))
    step: Any = training.step
    start = time.perf_counter()
    compiled = step.lower(state, *data).compile()
    seconds = time.perf_counter() - start
    losses = []
    for _ in range(FIRST_STEPS):
        state, info = compiled(state, *data)
        losses.append(float(info.loss))

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, info = compiled(state, *data)
        jax.block_until_ready((state, info))

    return FirstRun(jax.default_backend(), seconds, np.array(losses)), run


def network_of(task: Task) -> TransformNet | AdaINDecoder:
    """The network with its weights."""

    def with_float32_statistics(path: Any, node: Any) -> Any:
        if not isinstance(node, InstanceNorm):
            return node
        styles, channels = node.gamma.shape
        return Float32InstanceNorm(channels, styles, node.epsilon)

    network = nnx.eval_shape(lambda: make_network(task.architecture))
    if task.precision == "bfloat16":
        network = nnx.recursive_map(with_float32_statistics, network)
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        tensor = task.tensors["/".join(map(str, path))]
        variable.set_value(jnp.asarray(tensor))
    return network


def use_full_float32(task: Task) -> None:
    """Keep a GPU from rounding float32 to TF32, so that outputs can be compared."""
    if task.precision == "float32" and jax.default_backend() == "gpu":
        jax.config.update("jax_default_matmul_precision", "highest")
