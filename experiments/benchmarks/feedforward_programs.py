"""What ``experiments.benchmarks.feedforward`` times: tasks, and nstjax's programs."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from experiments.benchmarks.benchmark import Program
from nstjax import InputError, features, make_weights, preprocess, resize
from nstjax.feedforward.inference.descend import descend
from nstjax.feedforward.inference.restyle import make_restyler
from nstjax.feedforward.inference.style_specifications import load_model
from nstjax.feedforward.networks import adain, model_file
from nstjax.feedforward.networks.architecture import (
    Architecture,
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.networks import TransformNet, make_network
from nstjax.feedforward.networks.normalization import InstanceNorm, Moments
from nstjax.feedforward.training import objective
from nstjax.feedforward.training.presets import LENGSTROM_LOSS
from nstjax.feedforward.training.update import make_training
from nstjax.io.weights import load_network
from nstjax.runtime.compilation import cpu_compiler_options
from nstjax.runtime.memory import keep_freed_memory

LOSS = LENGSTROM_LOSS
LEARNING_RATE = 1e-3
FIRST_STEPS = 3
# What is written in PyTorch for comparison has these values.
FIELDS = {
    **{"padding": ["reflect"], "pixels": ["0..1"], "output": ["sigmoid"]},
    "upsampling": ["nearest", "bilinear"],
}
# Several styles in one pass, from --preset=cin-dumoulin at half width.
RANDOM = TransformArchitecture(
    width=0.5,
    normalization="conditional",
    styles=8,
    padding="reflect",
    upsampling="bilinear",
    pixels="0..1",
    output="sigmoid",
)


class Task(NamedTuple):
    """What every worker is given, as plain data."""

    architecture: Architecture
    tensors: dict[str, np.ndarray]  # of the network, by path
    # Of arbitrary style's encoder, or in training of the network that compares.
    vgg: dict[str, dict[str, np.ndarray]]
    # Weights [styles], or of a painting: see ``nstjax.feedforward.inference.restyle``.
    style: Any
    images: np.ndarray = np.empty((0, 0, 0, 3), np.float32)  # sRGB in 0..1
    paintings: np.ndarray | None = None  # one for each style that is trained
    precision: str = "float32"  # of inference; statistics are in float32


def read_task(model: str, painting: np.ndarray, weights: str) -> Task:
    """A model (a bundled one's name, a file, or random) and a style for it.

    Arbitrary style takes the painting, and the weights for its encoder.
    """
    if model == "random":
        rng = np.random.default_rng(0)
        tensors = model_file.network_tensors(make_network(RANDOM))
        for path, tensor in tensors.items():
            if "/norm/" in path:
                tensors[path] = tensor + 0.3 * rng.standard_normal(tensor.shape, "f4")
        return Task(RANDOM, tensors, {}, np.eye(RANDOM.styles, dtype=np.float32)[0])
    loaded = load_model(model)
    architecture = loaded.network.architecture
    tensors = model_file.network_tensors(loaded.network)
    if not isinstance(architecture, TransformArchitecture):
        restyler = make_restyler(loaded, lambda: load_network(weights))
        encoder, style = jax.tree.map(
            np.asarray, (restyler.encoder, restyler.style_of(painting))
        )
        return Task(architecture, tensors, encoder, style)
    written = all(getattr(architecture, key) in FIELDS[key] for key in FIELDS)
    if not written or architecture.normalization == "batch":
        raise InputError(
            f"{model} is of another kind than the bundled models and random: only "
            "those are written in PyTorch here"
        )
    first = np.eye(architecture.styles, dtype=np.float32)[0]
    return Task(architecture, tensors, {}, first)


def shifted(picture: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    """As many different pictures, [count, height, width, 3]."""
    picture = resize(picture, height, width)
    shifts = np.arange(count) * width // count
    return np.stack([np.roll(picture, shift, axis=1) for shift in shifts])


def nstjax_feedforward(_: str, task: Task) -> Program:
    """Pictures, or the losses of the first steps of training."""
    keep_freed_memory()
    return (nstjax_inference if task.paintings is None else nstjax_training)(task)


class Float32InstanceNorm(InstanceNorm):
    """Its statistics in float32, whatever the activation is in."""

    def __call__(
        self, activation: Array, style: Array, moments: Moments | None = None
    ) -> Array:
        """Normalize, see ``InstanceNorm``."""
        normalized = super().__call__(activation.astype(jnp.float32), style, moments)
        return normalized.astype(activation.dtype)


def nstjax_inference(task: Task) -> Program:
    """A network's forward pass; arbitrary style's begins with the encoder."""
    if isinstance(task.architecture, DescentArchitecture):
        return nstjax_descent(task, task.architecture)
    graph, state = nnx.split(network_of(task))
    images, vgg, style = jax.tree.map(jnp.asarray, (task.images, task.vgg, task.style))
    images, vgg, state = jax.tree.map(
        lambda leaf: leaf.astype(task.precision), (images, vgg, state)
    )

    def encode(vgg: Any, image: Array) -> Array:
        image = preprocess(image).astype(task.precision)
        options: Any = {"pool": "max", "pool_padding": "same"}
        return features(vgg, image, [adain.CODE_LAYER], **options)[adain.CODE_LAYER]

    def restyle(state: nnx.State, vgg: Any, images: Array, style: Any) -> Array:
        network = nnx.merge(graph, state)
        style = jax.tree.map(lambda part: jnp.stack([part] * len(images)), style)
        if isinstance(network, TransformNet):
            return network(images, style)
        code = jax.vmap(encode, (None, 0))(vgg, images).astype(jnp.float32)
        code = adain.adaptive_instance_normalization(code, style)
        height, width = images.shape[1:3]
        return network(code.astype(task.precision))[:, :height, :width]

    arguments = (state, vgg, images, style)
    program = jax.jit(restyle, compiler_options=cpu_compiler_options())
    seconds, compiled = compiled_in(program, *arguments)

    def run(count: int) -> None:
        jax.block_until_ready([compiled(*arguments) for _ in range(count)][-1])

    result = np.asarray(compiled(*arguments), np.float32)
    return Program(jax.default_backend(), result, run, compile_seconds=seconds)


def nstjax_descent(task: Task, architecture: DescentArchitecture) -> Program:
    """All steps of learned descent, as the product takes them."""
    if task.precision != "float32":
        raise InputError("learned descent is in float32: give --precision=float32")
    network = network_of(task)
    images = reflected(task.images, architecture.multiple)
    images, vgg, style = jax.tree.map(jnp.asarray, (images, task.vgg, task.style))

    def restyle() -> Array:
        return descend(network, vgg, images, style, pool="max")

    def run(count: int) -> None:
        jax.block_until_ready([restyle() for _ in range(count)][-1])

    start = time.perf_counter()
    result = np.asarray(restyle())
    seconds = time.perf_counter() - start
    return Program(jax.default_backend(), result, run, compile_seconds=seconds)


def reflected(images: np.ndarray, multiple: int) -> np.ndarray:
    """Pictures, further below and to the right to sides that ``multiple`` divides."""
    _, height, width, _ = images.shape
    borders = [(0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)]
    return np.pad(images, borders, "reflect")


def nstjax_training(task: Task) -> Program:
    """The product's own training step."""
    assert task.paintings is not None
    network = network_of(task)
    loss, optimizer = objective.make_loss(LOSS), optax.adam(LEARNING_RATE)
    training = make_training(network, loss, optimizer)
    state = training.init(network, None)
    vgg = jax.tree.map(jnp.asarray, task.vgg)
    styles = objective.stacked_styles(vgg, LOSS, list(task.paintings))
    shares, key = jnp.ones(len(task.paintings)), jax.random.key(0)
    goal = objective.Objective(vgg, make_weights(LOSS), styles, shares, key)
    index = jnp.arange(len(task.images)) % len(task.paintings)
    batch = objective.Batch(jnp.asarray(task.images), index)
    data = (batch, goal, jnp.float32(0))
    seconds, compiled = compiled_in(training.step, state, *data)
    losses = []
    for _ in range(FIRST_STEPS):
        state, info = compiled(state, *data)
        losses.append(float(info.loss))

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, info = compiled(state, *data)
        jax.block_until_ready((state, info))

    first = np.array(losses)
    return Program(jax.default_backend(), first, run, compile_seconds=seconds)


def compiled_in(function: Any, *arguments: Any) -> tuple[float, Any]:
    """Seconds of tracing and compiling, and the program."""
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    return time.perf_counter() - start, compiled


def network_of(task: Task) -> Any:
    """The network with its weights, and what its precision needs."""

    def with_float32_statistics(path: Any, node: Any) -> Any:
        if not isinstance(node, InstanceNorm):
            return node
        styles, channels = node.gamma.shape
        return Float32InstanceNorm(channels, styles, node.epsilon)

    if task.precision == "float32" and jax.default_backend() == "gpu":
        # Not rounded to TF32, so that outputs can be compared.
        jax.config.update("jax_default_matmul_precision", "highest")
    network = nnx.eval_shape(lambda: make_network(task.architecture))
    if task.precision == "bfloat16":
        network = nnx.recursive_map(with_float32_statistics, network)
    for path, variable in nnx.to_flat_state(nnx.state(network, nnx.Param)):
        variable.set_value(jnp.asarray(task.tensors["/".join(map(str, path))]))
    return network
