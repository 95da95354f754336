"""Times one step of style transfer: nstjax against the same program in PyTorch.

    python -m experiments.benchmarks.step --sizes=400x300,512x512 --repeats=7
    python -m experiments.benchmarks.step --implementations=nstjax,nstjax-slim

A step is VGG-19 to relu5_1 (average pooling), the gatys2016 losses, the gradient with
respect to the image and Adam's update. ``nstjax`` is the product's own compiled step,
``nstjax-mixed`` the same with --precision=mixed, ``nstjax-slim`` with the bundled
network; ``torch-float32`` and ``torch-bfloat16`` (autocast; Gram matrices in float32)
are eager channels-last programs with the same weights, pictures and losses. On a GPU
both libraries' float32 convolutions are at their default, which may be TF32. Every
gradient is compared with that of float64.

Each implementation has a process to itself, so that its peak memory is its own and no
thread pool disturbs another. They take turns, and ratios are taken within a round, so
that a machine that is busy for a while slows both sides of a ratio.
"""

import importlib.util
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

from experiments.benchmarks.step_implementations import (
    FirstStep,
    Rounds,
    Task,
    float64_rounds,
    nstjax_rounds,
    torch_rounds,
    with_bundled_network,
)

# nstjax is imported where it is used, as in step_implementations.

# What the others are compared with: the first of these that is timed.
REFERENCES = ("torch-float32", "nstjax")
IMPLEMENTATIONS = (
    "nstjax",
    "nstjax-mixed",
    "nstjax-slim",
    "torch-float32",
    "torch-bfloat16",
)
WARM_UP_ROUNDS = 2

_SIZES = flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
_IMPLEMENTATIONS = flags.DEFINE_list(
    "implementations", ",".join(IMPLEMENTATIONS), "What to time, in this order."
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "File of python -m weights_convert; random weights if not given."
)
_PEAK_TFLOPS = flags.DEFINE_float(
    "peak_tflops", None, "The device's peak, to print the share of it that is reached."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers.")


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
        return torch_rounds(task, bfloat16=implementation == "torch-bfloat16")
    mixed = implementation.endswith("-mixed")
    return nstjax_rounds(task, "mixed" if mixed else "float32")


def make_task(width: int, height: int) -> Task:
    """Random pictures, and random weights if none are given: the same in every run."""
    import safetensors.numpy

    from nstjax.preset import customize
    from nstjax.presets import get_preset
    from nstjax.vgg import LAYERS, MEAN_RGB, kernel_shapes

    preset = customize(get_preset("gatys2016"), optimizer="adam")
    layers = (*preset.content_layers, *preset.style_layers)
    trunk = LAYERS[: max(map(LAYERS.index, layers)) + 1]
    rng = np.random.default_rng(0)
    pictures = rng.random((3, height, width, 3), np.float32)
    given = safetensors.numpy.load_file(_WEIGHTS.value) if _WEIGHTS.value else None
    params = {}
    for name, shape in kernel_shapes().items():
        if name not in trunk:
            continue
        if given:
            kernel, bias = given[f"{name}/kernel"], given[f"{name}/bias"]
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
        learning_rate=preset.learning_rates["adam"],
    )


def count_operations(task: Task) -> int:
    """Floating-point operations of a step's convolutions and their input gradients.

    An input gradient costs what its convolution does, and every layer's is needed, the
    first one's too. The Gram matrices, a few percent more, are left out.
    """
    from nstjax.vgg import summarize

    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.params[row.name]["kernel"].size
        for row in summarize(*task.pictures.shape[1:3])
        if row.name in task.params and row.name in task.trunk
    )


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


def report(task: Task, names: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Time every implementation; print the table and return its numbers."""
    tasks = {
        name: with_bundled_network(task) if name == "nstjax-slim" else task
        for name in names
    }
    reference_name = next((name for name in REFERENCES if name in names), None)
    height, width = task.pictures.shape[1:3]
    operations = count_operations(task)
    print(f"\n{width}x{height} pixels, {operations / 1e9:.1f} GFLOP per step of VGG-19")
    exact = exact_step(task)
    g = exact.gradient.ravel()
    measurements = measure(tasks, repeats)
    rows, comparisons = [], []
    print(
        f"{'implementation':<15}{'device':>7}{'s/step':>9}{'steps/s':>9}{'ratio':>7}"
        f"{'(quartiles)':>13}{'TFLOP/s':>9}{'of peak':>9}{'peak MB':>9}"
    )
    for name, (first, all_seconds, peak_bytes) in measurements.items():
        seconds = statistics.median(all_seconds)
        operations = count_operations(tasks[name])
        row = {
            "implementation": name,
            "device": first.device,
            "operations": operations,
            "seconds": seconds,
            "all_seconds": all_seconds,
            "peak_bytes": peak_bytes,
            "loss": first.loss,
        }
        ratio, share = "", ""
        if reference_name:
            reference = measurements[reference_name]
            ratios = np.divide(all_seconds, reference.seconds)
            low, row["ratio"], high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
            ratio = f"{row['ratio']:>7.2f}{f'{low:.2f}..{high:.2f}':>13}"
        if tasks[name] is task:
            h = first.gradient.astype(np.float64).ravel()
            row["gradient_cosine"] = float(
                g @ h / np.linalg.norm(g) / np.linalg.norm(h)
            )
            row["loss_error"] = abs(first.loss / exact.loss - 1)
            comparisons.append(
                f"{name}: gradient's cosine with float64 {row['gradient_cosine']:.6f}, "
                f"loss off by {row['loss_error']:.1e}"
            )
        tflops = operations / seconds / 1e12
        if _PEAK_TFLOPS.value:
            share = f"{tflops / _PEAK_TFLOPS.value:.1%}"
        print(
            f"{name:<15}{first.device:>7}{seconds:>9.4f}{1 / seconds:>9.2f}{ratio:>20}"
            f"{tflops:>9.3f}{share:>9}{peak_bytes / 1e6:>9.0f}"
        )
        rows.append(row)
    print("\n".join(comparisons))
    return rows


def main(arguments: Sequence[str]) -> None:
    """Time every size and print its table."""
    names = _IMPLEMENTATIONS.value
    if len(arguments) > 1 or not set(names) <= set(IMPLEMENTATIONS):
        raise app.UsageError(f"implementations are {', '.join(IMPLEMENTATIONS)}")
    if (
        any("torch" in name for name in names)
        and importlib.util.find_spec("torch") is None
    ):
        sys.exit("PyTorch is not installed: pip install torch")
    numbers = {}
    for size in _SIZES.value:
        try:
            width, height = map(int, size.split("x"))
        except ValueError:
            sys.exit(f"--sizes has {size!r}: give WIDTHxHEIGHT such as 512x512")
        numbers[size] = report(make_task(width, height), names, _REPEATS.value)
    if _OUTPUT.value:
        Path(_OUTPUT.value).write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
