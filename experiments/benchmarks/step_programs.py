"""What ``experiments.benchmarks.step`` times: a step of nstjax and one of PyTorch."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.benchmarks.workers import Program
from nstjax.images.resizing import Size
from nstjax.io.weights import find_vgg19, load_params
from nstjax.losses.total import Targets, Weights, style_statistics, total_loss
from nstjax.network.vgg import (
    LAYERS,
    MEAN_RGB,
    features,
    kernel_shapes,
    summarize,
)
from nstjax.optimization.steps import run
from nstjax.presets.preset import Preset, customize, deepest_layer
from nstjax.presets.published import get_preset
from nstjax.problem.problem import prepare
from nstjax.runtime.allocator import keep_freed_memory
from nstjax.runtime.memory import free_before_next_step

ADAM_BETA_1 = 0.9
PRESET = customize(get_preset("gatys2016"), optimizer="adam", pyramid="none")
TRUNK = LAYERS[: LAYERS.index(deepest_layer(PRESET)) + 1]
CONTENT_WEIGHTS = {
    layer: PRESET.alpha * weight
    for layer, weight in zip(
        PRESET.content_layers, PRESET.content_layer_weights, strict=True
    )
}
STYLE_WEIGHTS = {
    layer: PRESET.beta * weight
    for layer, weight in zip(
        PRESET.style_layers, PRESET.style_layer_weights, strict=True
    )
}


class Task(NamedTuple):
    """What every worker is given.

    Attributes:
      params: {conv layer: {"kernel": [3, 3, in, out], "bias": [out]}}.
      pictures: photo, painting and initial image, sRGB in 0..1, [3, height, width, 3].
    """

    params: dict[str, dict[str, np.ndarray]]
    pictures: np.ndarray


class FirstStep(NamedTuple):
    """Loss and image gradient [height, width, 3] at the initial image."""

    device: str
    loss: float
    gradient: np.ndarray


def make_task(width: int, height: int, weights: str | None = None) -> Task:
    """Random pictures, the same in every run, for VGG-19.

    Args:
      width: of the pictures.
      height: of the pictures.
      weights: as nstjax takes them; where not given VGG-19 if it is found, else random
        weights of its shapes.
    """
    rng = np.random.default_rng(0)
    pictures = rng.random((3, height, width, 3), np.float32)
    weights = weights or find_vgg19()
    if weights:
        return Task(_trunk_of(load_params(weights)), pictures)
    params = {}
    for name, shape in kernel_shapes().items():
        if name in TRUNK:
            # He's scale keeps the size of the activations through the layers.
            kernel = rng.standard_normal(shape, np.float32)
            kernel *= np.sqrt(2 / np.prod(shape[:3]))
            bias = rng.standard_normal(shape[3], np.float32)
            params[name] = {"kernel": kernel, "bias": bias}
    return Task(params, pictures)


def with_bundled_network(task: Task) -> Task:
    """The same pictures for the network that nstjax brings along."""
    return task._replace(params=_trunk_of(load_params("slim")))


def _trunk_of(params: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    within = {name: part for name, part in params.items() if name in TRUNK}
    return jax.tree.map(np.asarray, within)


def count_operations(task: Task) -> int:
    """Floating-point operations of a step's convolutions and their input gradients.

    An input gradient costs what its convolution does, and every layer's is needed, the
    first one's too. The Gram matrices, a few percent more, are left out.
    """
    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.params[row.name]["kernel"].size
        for row in summarize(*task.pictures.shape[1:3])
        if row.name in task.params
    )


def step_preset(height: int, width: int, **settings: Any) -> Preset:
    """What a step is of, at an exact size."""
    return customize(PRESET, size=Size("exact", (height, width)), **settings)


def image_gradient(opt_state: optax.OptState) -> np.ndarray:
    """The gradient of the very first step, not of another compilation."""
    # Adam's first moment is then (1 - β₁)·gradient.
    return np.asarray(optax.tree.get(opt_state, "mu"), np.float64) / (1 - ADAM_BETA_1)


def step_program(implementation: str, task: Task) -> Program:
    """The program of an implementation by its name."""
    if implementation == "float64":
        return float64_step(task)
    if implementation.startswith("torch"):
        return torch_step(task, implementation.split("-"))
    mixed = implementation.endswith("-mixed")
    return nstjax_step(task, "mixed" if mixed else "float32")


def nstjax_step(task: Task, precision: str) -> Program:
    """The product's own step, as its command runs it."""
    keep_freed_memory()
    free_before_next_step()
    content, style, image = task.pictures
    preset = step_preset(*content.shape[:2], precision=precision)
    params = jax.tree.map(jax.numpy.asarray, task.params)
    problem = prepare(content, [style], params, preset, init_image=image)
    # The first dispatch is one step everywhere, the later ones as long as they can be.
    updates = run(problem.steps, problem.state, problem.data, sys.maxsize, stops=[1])
    state, info = next(updates)
    gradient = image_gradient(state.opt_state)

    def advance(count: int) -> None:
        for _ in range(count):
            next(updates)

    def device_peak() -> int:
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)

    first = FirstStep(jax.default_backend(), float(info.loss[0]), gradient)
    return Program(first, advance, problem.steps.longest, device_peak)


def float64_step(task: Task) -> Program:
    """Loss and gradient in float64, to measure the others' errors by: not timed."""
    jax.config.update("jax_enable_x64", True)
    params = jax.tree.map(lambda array: array.astype(np.float64), task.params)
    content, style, image = 255.0 * task.pictures.astype(np.float64) - MEAN_RGB
    targets = Targets(
        features(params, content, PRESET.content_layers),
        style_statistics(params, style, PRESET.style_layers),
    )
    numbers: Any = (1.0, 1.0, 0.0, CONTENT_WEIGHTS, STYLE_WEIGHTS)
    weights = Weights(*numbers)
    value, gradient = jax.jit(
        jax.value_and_grad(lambda image: total_loss(params, image, targets, weights)[0])
    )(image)
    first = FirstStep("cpu", float(value), np.asarray(gradient))
    return Program(first, lambda count: None)


def torch_step(task: Task, words: Sequence[str]) -> Program:
    """The same step as it is written in PyTorch; the words are the name's."""
    import torch
    from torch.nn import functional

    if "stock" not in words:
        keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def channels_last(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        return tensor.contiguous(memory_format=torch.channels_last)

    convolutions = {
        name: (
            channels_last(part["kernel"].transpose(3, 2, 0, 1)),
            torch.from_numpy(part["bias"]).to(device),
        )
        for name, part in task.params.items()
    }

    def activations_of(x: Any) -> dict[str, Any]:
        activations = {}
        with torch.autocast(device, torch.bfloat16, enabled="bfloat16" in words):
            for name in TRUNK:
                if name.startswith("conv"):
                    x = functional.conv2d(x, *convolutions[name], padding=1)
                elif name.startswith("relu"):
                    x = functional.relu(x, inplace=True)
                else:
                    x = functional.avg_pool2d(x, 2)
                activations[name] = x
        return activations

    if "compiled" in words:
        activations_of = torch.compile(activations_of)

    def gram(activation: Any) -> Any:
        F = activation[0].float().permute(1, 2, 0).flatten(0, 1)
        return F.T @ F / len(F)

    images = (255 * task.pictures - MEAN_RGB).transpose(0, 3, 1, 2)
    content, style, image = (channels_last(each[None]) for each in images)
    with torch.no_grad():
        activations = activations_of(content)
        contents = {layer: activations[layer].float() for layer in CONTENT_WEIGHTS}
        activations = activations_of(style)
        grams = {layer: gram(activations[layer]) for layer in STYLE_WEIGHTS}
        del activations
    image.requires_grad_()
    optimizer = torch.optim.Adam([image], lr=PRESET.learning_rates["adam"])

    def step() -> Any:
        optimizer.zero_grad()
        activations = activations_of(image)
        loss = torch.zeros((), device=device)
        for layer, weight in CONTENT_WEIGHTS.items():
            error = activations[layer].float() - contents[layer]
            loss = loss + weight * 0.5 * error.square().sum()
        for layer, weight in STYLE_WEIGHTS.items():
            error = gram(activations[layer]) - grams[layer]
            loss = loss + weight * 0.25 * error.square().mean()
        loss.backward()
        optimizer.step()
        return loss

    def advance(count: int) -> None:
        for _ in range(count):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    first_loss = step().item()
    gradient = image.grad[0].permute(1, 2, 0).cpu().numpy()
    first = FirstStep(device, first_loss, gradient)
    if device == "cpu":
        return Program(first, advance)
    return Program(first, advance, device_peak=torch.cuda.max_memory_allocated)
