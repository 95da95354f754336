"""What is timed of style transfer: a step of nstjax, and a sweep."""

import functools
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.benchmarks.benchmark import Program, resident_peak
from nstjax import Preset, Problem, Size, Targets, Weights, get_preset, prepare, run
from nstjax.analysis.sweeps.batch import Batch, prepare_batch
from nstjax.analysis.sweeps.memory import compile_sweep
from nstjax.analysis.sweeps.settings import Settings, grid
from nstjax.analysis.sweeps.sweep import CompiledSweep, make_sweep, run_batch
from nstjax.io.compilation_cache import keep_compiled_programs
from nstjax.io.weights import find_vgg19, load_params
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.architecture import LAYERS, summarize
from nstjax.network.vgg import MEAN_RGB, features
from nstjax.presets.settings import customize, deepest_layer
from nstjax.problem.compiled_transfer import make_transfer
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


def problem_of(task: Task, tile: int | None = None, **settings: Any) -> Problem:
    """A task's style transfer, from its initial image."""
    content, style, image = task.pictures
    preset = customize(PRESET, size=Size("exact", content.shape[:2]), **settings)
    params = jax.tree.map(jax.numpy.asarray, task.params)
    return prepare(content, [style], params, preset, init_image=image, tile=tile)


def image_gradient(opt_state: optax.OptState) -> np.ndarray:
    """The gradient of the very first step, not of another compilation."""
    # Adam's first moment is then (1 - β₁)·gradient.
    return np.asarray(optax.tree.get(opt_state, "mu"), np.float64) / (1 - ADAM_BETA_1)


def nstjax_step(implementation: str, task: Task) -> Program:
    """The product's own step, as its command runs it, with its loss and gradient."""
    keep_freed_memory()
    free_before_next_step()
    precision = "mixed" if "mixed" in implementation else "float32"
    problem = problem_of(task, precision=precision)
    # The first dispatch is one step everywhere, the later ones as long as they can be.
    updates = run(problem.steps, problem.state, problem.data, sys.maxsize, stops=[1])
    state, info = next(updates)
    gradient = image_gradient(state.opt_state)

    def advance(count: int) -> None:
        for _ in range(count):
            next(updates)

    return Program(
        jax.default_backend(),
        (float(info.loss[0]), gradient),
        advance,
        problem.steps.longest,
        device_peak=device_peak,
    )


def device_peak() -> int:
    """The most bytes that an accelerator's arrays have had; 0 where it is not told."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def float64_step(_: str, task: Task) -> Program:
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
    return Program("cpu", (float(value), np.asarray(gradient)), lambda count: None)


class SweepTask(NamedTuple):
    """A sweep over beta, of so many settings side by side."""

    content: np.ndarray
    style: np.ndarray
    params: Any
    preset: Preset
    lanes: int

    @property
    def settings(self) -> Settings:
        """From a tenth of the preset's beta to ten times as much."""
        betas = self.preset.beta * np.geomspace(0.1, 10, self.lanes)
        return grid({"beta": betas.tolist()})


def compiled_sweep(task: SweepTask) -> tuple[CompiledSweep, Batch]:
    """All settings as a batch, and the program for them, which is compiled first."""
    content, style, params, preset, lanes = task
    params = jax.tree.map(jax.numpy.asarray, params)
    batch_of = functools.partial(prepare_batch, content, [style], params, preset)
    first = batch_of([next(iter(task.settings))])
    sweep = make_sweep(make_transfer(preset), first.axes)
    return compile_sweep(sweep, first, lanes), batch_of(list(task.settings))


def sweep_peak(_: str, task: SweepTask) -> Program:
    """A sweep's peak memory, in bytes: predicted and reached."""
    # As in a command, whose memory this is.
    keep_freed_memory()
    keep_compiled_programs()
    free_before_next_step()
    sweep, batch = compiled_sweep(task)
    run_batch(sweep, batch)
    peaks = sweep.peak_bytes, device_peak() or resident_peak()
    return Program(jax.default_backend(), peaks, lambda count: None)
