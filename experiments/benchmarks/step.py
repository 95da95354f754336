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

Freed memory is kept for the next step (``nstjax.runtime.memory``), as in the
project's commands. PyTorch, too, is faster with it, and takes more memory:
``torch-float32-stock`` is PyTorch without; ``-compiled`` has torch.compile.

Each implementation has a process to itself, so that its peak memory is its own and no
thread pool disturbs another. They take turns, and ratios are taken within a round, so
that a machine that is busy for a while slows both sides of a ratio.
"""

import importlib.util
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmarks.step_implementations import Task, with_bundled_network
from experiments.benchmarks.step_workers import (
    count_operations,
    exact_step,
    make_task,
    measure,
)
from experiments.benchmarks.tables import write_json

# nstjax is imported where it is used, as in step_implementations.

USAGE = __doc__ or ""

# What the others are compared with: the first of these that is timed.
REFERENCES = ("torch-float32", "nstjax")
USUAL = (
    "nstjax",
    "nstjax-mixed",
    "nstjax-slim",
    "torch-float32",
    "torch-bfloat16",
    "torch-float32-stock",
)
# torch.compile needs a C++ compiler, or a GPU.
IMPLEMENTATIONS = (*USUAL, "torch-float32-compiled", "torch-bfloat16-compiled")

_SIZES = flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
_IMPLEMENTATIONS = flags.DEFINE_list(
    "implementations", ",".join(USUAL), f"What to time: {', '.join(IMPLEMENTATIONS)}."
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "As nstjax takes them; if not given VGG-19 where it is found, else random weights.",
)
_PEAK_TFLOPS = flags.DEFINE_float(
    "peak_tflops", None, "The device's peak, to print the share of it that is reached."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers.")


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
        f"{'implementation':<20}{'device':>7}{'s/step':>9}{'steps/s':>9}{'ratio':>7}"
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
            f"{name:<20}{first.device:>7}{seconds:>9.4f}{1 / seconds:>9.2f}{ratio:>20}"
            f"{tflops:>9.3f}{share:>9}{peak_bytes / 1e6:>9.0f}"
        )
        rows.append(row)
    print("\n".join(comparisons))
    return rows


def main(arguments: Sequence[str]) -> int:
    """Time every size and print its table; returns the exit status."""
    from experiments.benchmarks.flag_values import exact_size, no_arguments
    from nstjax.errors import InputError
    from nstjax.io.paths import expand_home

    no_arguments(arguments)
    names = _IMPLEMENTATIONS.value
    if not set(names) <= set(IMPLEMENTATIONS):
        raise InputError(f"--implementations takes {', '.join(IMPLEMENTATIONS)}")
    if any("torch" in name for name in names) and not importlib.util.find_spec("torch"):
        raise InputError("PyTorch is not installed: pip install torch")
    sizes = {size: exact_size("sizes", size) for size in _SIZES.value}
    weights = _WEIGHTS.value and expand_home(_WEIGHTS.value)
    numbers = {
        text: report(make_task(width, height, weights), names, _REPEATS.value)
        for text, (height, width) in sizes.items()
    }
    write_json(_OUTPUT.value and expand_home(_OUTPUT.value), numbers)
    return 0


if __name__ == "__main__":
    from nstjax.commands.launcher import run_command

    run_command("step", __name__, USAGE, main)
