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

Each implementation has a process to itself. They take turns, and ratios are taken
within a round.
"""

import importlib.util
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks import step_programs as programs
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError

# What the others are compared with: the first of these that is timed.
REFERENCES = ("torch-float32", "nstjax")
USUAL = (
    *("nstjax", "nstjax-mixed", "nstjax-slim"),
    *("torch-float32", "torch-bfloat16", "torch-float32-stock"),
)
# torch.compile needs a C++ compiler, or a GPU.
IMPLEMENTATIONS = (*USUAL, "torch-float32-compiled", "torch-bfloat16-compiled")

flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
flags.DEFINE_list(
    "implementations", ",".join(USUAL), f"What to time: {', '.join(IMPLEMENTATIONS)}."
)
define_path("weights", None, "As nstjax takes them; else VGG-19 if found, or random.")
flags.DEFINE_float("peak_tflops", None, "The device's, to print the share reached.")

FLAGS = flags.FLAGS


def measure() -> dict[str, list[dict[str, Any]]]:
    """Time every size and print its table: {size: rows}."""
    names = FLAGS.implementations
    if not set(names) <= set(IMPLEMENTATIONS):
        raise InputError(f"--implementations takes {', '.join(IMPLEMENTATIONS)}")
    if any("torch" in name for name in names) and not importlib.util.find_spec("torch"):
        raise InputError("PyTorch is not installed: pip install torch")
    sizes = {size: benchmark.exact_size("sizes", size) for size in FLAGS.sizes}
    return {
        text: measure_size(programs.make_task(width, height, FLAGS.weights), names)
        for text, (height, width) in sizes.items()
    }


def measure_size(task: programs.Task, names: Sequence[str]) -> list[dict[str, Any]]:
    """Time every implementation and print the table; the rows have all seconds."""
    tasks = {
        name: task._replace(params=programs.trunk_of("slim"))
        if "slim" in name
        else task
        for name in names
    }
    exact_step = {"float64": ("step_programs.float64_step", task)}
    exact = benchmark.Workers(exact_step).firsts["float64"]
    workers = benchmark.Workers(
        {
            name: (
                "torch_programs.torch_step"
                if "torch" in name
                else "step_programs.nstjax_step",
                tasks[name],
            )
            for name in names
        }
    )
    measured = workers.measure(FLAGS.repeats)
    reference = next((name for name in REFERENCES if name in names), None)
    height, width = task.pictures.shape[1:3]
    operations = programs.count_operations(task) / 1e9
    rows = []
    for name, (seconds, peak_bytes) in measured.items():
        first = workers.firsts[name]
        median = statistics.median(seconds)
        rate = programs.count_operations(tasks[name]) / median
        row: dict[str, Any] = {
            "implementation": name,
            "device": first.device,
            "s/step": median,
            "steps/s": 1 / median,
            "peak MB": peak_bytes / 1e6,
            "TFLOP/s": rate / 1e12,
        }
        if FLAGS.peak_tflops:
            row["of peak"] = rate / 1e12 / FLAGS.peak_tflops
        if reference:
            row |= benchmark.ratios(seconds, measured[reference][0])
        if tasks[name] is task:
            g, h = (np.float64(one.result[1]).ravel() for one in (exact, first))
            cosine = g @ h / np.linalg.norm(g) / np.linalg.norm(h)
            row["1 - gradient's cosine"] = float(1 - cosine)
            row["loss error"] = abs(first.result[0] / exact.result[0] - 1)
        rows.append(row)
    title = f"{width}x{height} pixels, {operations:.1f} GFLOP per step of VGG-19"
    benchmark.print_rows(title, rows)
    return [row | {"all seconds": measured[row["implementation"]][0]} for row in rows]


if __name__ == "__main__":
    benchmark.run_benchmark("step", __name__, __doc__, measure)
