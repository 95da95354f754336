"""Processes that take turns at a step, one for each implementation.

nstjax is imported where it is used, as in ``step_implementations``.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.step_implementations import (
    FirstStep,
    Rounds,
    Task,
    float64_rounds,
    nstjax_rounds,
    torch_rounds,
)

WARM_UP_ROUNDS = 2


def make_task(width: int, height: int, weights: str | None = None) -> Task:
    """Random pictures, the same in every run, for VGG-19.

    Args:
      width: of the pictures.
      height: likewise.
      weights: as nstjax takes them; where not given VGG-19 if it is found, else random
        weights of its shapes.
    """
    from nstjax.io.weights import find_vgg19, load_params
    from nstjax.network.vgg import LAYERS, MEAN_RGB, kernel_shapes
    from nstjax.presets.preset import customize
    from nstjax.presets.published import get_preset

    preset = customize(get_preset("gatys2016"), optimizer="adam")
    layers = (*preset.content_layers, *preset.style_layers)
    trunk = LAYERS[: max(map(LAYERS.index, layers)) + 1]
    rng = np.random.default_rng(0)
    pictures = rng.random((3, height, width, 3), np.float32)
    weights = weights or find_vgg19()
    given = load_params(weights) if weights else None
    params = {}
    for name, shape in kernel_shapes().items():
        if name not in trunk:
            continue
        if given:
            kernel, bias = map(np.asarray, (given[name]["kernel"], given[name]["bias"]))
        else:
            # He's scale keeps the size of the activations through the layers.
            kernel = rng.standard_normal(shape, np.float32)
            kernel *= np.sqrt(2 / np.prod(shape[:3]))
            bias = rng.standard_normal(shape[3], np.float32)
        params[name] = {"kernel": kernel, "bias": bias}
    content = zip(preset.content_layers, preset.content_layer_weights, strict=True)
    style = zip(preset.style_layers, preset.style_layer_weights, strict=True)
    return Task(
        trunk=trunk,
        params=params,
        pictures=pictures,
        mean=MEAN_RGB,
        content_weights={layer: preset.alpha * weight for layer, weight in content},
        style_weights={layer: preset.beta * weight for layer, weight in style},
        learning_rate=preset.adam_learning_rate,
    )


def count_operations(task: Task) -> int:
    """Floating-point operations of a step's convolutions and their input gradients.

    An input gradient costs what its convolution does, and every layer's is needed, the
    first one's too. The Gram matrices, a few percent more, are left out.
    """
    from nstjax.network.vgg import summarize

    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.params[row.name]["kernel"].size
        for row in summarize(*task.pictures.shape[1:3])
        if row.name in task.params and row.name in task.trunk
    )


def work(implementation: str, pipe: Connection) -> None:
    """A worker: take a task, then time a round whenever the parent asks for one."""
    task: Task = pipe.recv()
    rounds = rounds_of(implementation, task)
    first = next(rounds)
    pipe.send(first)
    while pipe.recv():
        start = time.perf_counter()
        device_bytes = next(rounds)
        seconds = (time.perf_counter() - start) / first.steps_per_round
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resident_bytes = resident if sys.platform == "darwin" else 1024 * resident
        pipe.send((seconds, device_bytes or resident_bytes))


def rounds_of(implementation: str, task: Task) -> Rounds:
    """The rounds of an implementation by its name."""
    if implementation == "float64":
        return float64_rounds(task)
    if implementation.startswith("torch"):
        return torch_rounds(
            task,
            bfloat16="bfloat16" in implementation,
            keep_freed=not implementation.endswith("-stock"),
            compiled=implementation.endswith("-compiled"),
        )
    mixed = implementation.endswith("-mixed")
    return nstjax_rounds(task, "mixed" if mixed else "float32")


class Measurement(NamedTuple):
    """What one worker has told; the seconds are per step, one number a round."""

    first: FirstStep
    seconds: list[float]
    peak_bytes: int


def start_worker(name: str, task: Task) -> Any:
    """The pipe to a new process that has been given its task."""
    # A process starts with its parent's peak memory, and the fork server's is small.
    context = multiprocessing.get_context("forkserver")
    pipe, end = context.Pipe()
    context.Process(target=work, args=(name, end), daemon=True).start()
    end.close()
    pipe.send(task)
    return pipe


def first_step(pipe: Any, name: str) -> FirstStep:
    """A worker's first step."""
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        sys.exit(f"{name} ended early: see its message above")


def exact_step(task: Task) -> FirstStep:
    """Loss and gradient in float64."""
    pipe = start_worker("float64", task)
    exact = first_step(pipe, "float64")
    pipe.send(False)
    return exact


def measure(tasks: Mapping[str, Task], repeats: int) -> dict[str, Measurement]:
    """Let the implementations take turns."""
    pipes, measurements = {}, {}
    for name, task in tasks.items():
        pipes[name] = start_worker(name, task)
        measurements[name] = Measurement(first_step(pipes[name], name), [], 0)
    try:
        for turn in range(WARM_UP_ROUNDS + repeats):
            for name, pipe in pipes.items():
                pipe.send(True)
                seconds, peak_bytes = pipe.recv()
                if turn >= WARM_UP_ROUNDS:
                    measurements[name].seconds.append(seconds)
                measurements[name] = measurements[name]._replace(peak_bytes=peak_bytes)
        for pipe in pipes.values():
            pipe.send(False)
    except (EOFError, ConnectionError):
        sys.exit(f"{name} ended early: see its message above")
    return measurements
