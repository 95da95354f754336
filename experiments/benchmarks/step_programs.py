"""What ``experiments.benchmarks.step`` times: a step of nstjax and one of PyTorch."""

import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.benchmarks.workers import First, Program
from nstjax import Preset, Problem, Size, Targets, Weights, get_preset, prepare, run
from nstjax.io.weights import find_vgg19, load_params
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.architecture import LAYERS, summarize
from nstjax.network.vgg import MEAN_RGB, features
from nstjax.presets.settings import customize, deepest_layer
from nstjax.runtime.memory import free_before_next_step, keep_freed_memory

ADAM_BETA_1 = 0.9
PRESET = customize(get_preset("gatys2016"), optimizer="adam", pyramid="none")
TRUNK = LAYERS[: LAYERS.index(deepest_layer(PRESET)) + 1]
CONTENT_WEIGHTS, STYLE_WEIGHTS = (
    {layer: factor * weight for layer, weight in zip(layers, weights, strict=True)}
    for factor, layers, weights in (
        (PRESET.alpha, PRESET.content_layers, PRESET.content_layer_weights),
        (PRESET.beta, PRESET.style_layers, PRESET.style_layer_weights),
    )
)


class Task(NamedTuple):
    """What every worker is given: a network, and photo, painting and initial image."""

    params: dict[str, dict[str, np.ndarray]]
    pictures: np.ndarray  # sRGB in 0..1, [3, height, width, 3]


def make_task(width: int, height: int, weights: str | None = None) -> Task:
    """Random pictures, the same in every run, for VGG-19, or random weights like it."""
    pictures = np.random.default_rng(0).random((3, height, width, 3), np.float32)
    return Task(trunk_of(weights or find_vgg19() or "random"), pictures)


def trunk_of(weights: str) -> dict[str, dict[str, np.ndarray]]:
    """A network up to the deepest layer of the loss."""
    params = load_params(weights)
    within = {name: params[name] for name in params if name in TRUNK}
    return jax.tree.map(np.asarray, within)


def count_operations(task: Task) -> int:
    """Floating-point operations of a step's convolutions and their input gradients.

    Each gradient costs what its convolution does. The Gram matrices, a few percent
    more, are left out.
    """
    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.params[row.name]["kernel"].size
        for row in summarize(*task.pictures.shape[1:3])
        if row.name in task.params
    )


def step_preset(height: int, width: int, **settings: Any) -> Preset:
    """What a step is of, at an exact size."""
    return customize(PRESET, size=Size("exact", (height, width)), **settings)


def problem_of(task: Task, tile: int | None = None, **settings: Any) -> Problem:
    """A task's style transfer, from its initial image."""
    content, style, image = task.pictures
    preset = step_preset(*content.shape[:2], **settings)
    params = jax.tree.map(jax.numpy.asarray, task.params)
    return prepare(content, [style], params, preset, init_image=image, tile=tile)


def image_gradient(opt_state: optax.OptState) -> np.ndarray:
    """The gradient of the very first step, not of another compilation."""
    # Adam's first moment is then (1 - β₁)·gradient.
    return np.asarray(optax.tree.get(opt_state, "mu"), np.float64) / (1 - ADAM_BETA_1)


def step_program(implementation: str, task: Task) -> Program:
    """A named implementation, which gives loss and gradient at the initial image."""
    if implementation == "float64":
        return float64_step(task)
    if implementation.startswith("torch"):
        # Not at the top: it may not be installed.
        from experiments.benchmarks.torch_programs import torch_step

        return torch_step(task, implementation.split("-"))
    return nstjax_step(task, "mixed" if "mixed" in implementation else "float32")


def nstjax_step(task: Task, precision: str) -> Program:
    """The product's own step, as its command runs it."""
    keep_freed_memory()
    free_before_next_step()
    problem = problem_of(task, precision=precision)
    # The first dispatch is one step everywhere, the later ones as long as they can be.
    updates = run(problem.steps, problem.state, problem.data, sys.maxsize, stops=[1])
    state, info = next(updates)
    gradient = image_gradient(state.opt_state)

    def advance(count: int) -> None:
        for _ in range(count):
            next(updates)

    def device_peak() -> int:
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)

    first = First(jax.default_backend(), (float(info.loss[0]), gradient))
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

    def loss(image: jax.Array) -> jax.Array:
        return total_loss(params, image, targets, Weights(*numbers))[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(image)
    first = First("cpu", (float(value), np.asarray(gradient)))
    return Program(first, lambda count: None)
