"""Times feed-forward networks: nstjax against the same networks in PyTorch.

    python -m experiments.benchmarks.feedforward --training
    python -m experiments.benchmarks.feedforward --sizes=512x512,1920x1080 \
        --precision=bfloat16 --batch=8

Inference is what a network does to pictures that lie on the device, of learned descent
all its steps; a painting has been described before. A training step is forward and
backward through the network and VGG-19 or what stands for it (--weights), with the
losses of the preset lengstrom, and Adam. Compilation is timed apart. Ratios below 1
are nstjax's.

Each implementation has a process to itself. They take turns, and ratios are taken
within a round. Both keep freed memory, as nstjax's commands do. Results are compared
before anything is timed.
"""

import importlib.util
import itertools
import os
import statistics
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks import feedforward_programs as programs
from experiments.benchmarks.feedforward_programs import Task
from nstjax.commands.path_flags import define_path, define_paths
from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.model_file import BUNDLED
from nstjax.feedforward.networks.networks import check_sides
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_network

LARGEST_DIFFERENCE = 1e-3
LARGEST_MEAN_DIFFERENCE = 0.02  # of bfloat16 from float32

define_paths(
    "models",
    ",".join([*BUNDLED, "random"]),
    "Names, model files, or random: conditional instance normalization for 8 styles.",
)
flags.DEFINE_list("sizes", "256x256,512x512,1920x1080", "Each WIDTHxHEIGHT.")
flags.DEFINE_integer("rounds", 7, "Timed rounds.", lower_bound=1)
flags.DEFINE_integer("threads", None, "Processors to use (Linux).", lower_bound=1)
flags.DEFINE_integer("batch", 1, "Pictures at a time, in inference.", lower_bound=1)
flags.DEFINE_enum(
    *("precision", None, ["float32", "bfloat16"]),
    "Of inference; if not given bfloat16 on a GPU, else float32.",
)
flags.DEFINE_bool("training", False, "Time training steps too.")
flags.DEFINE_integer("training_size", 256, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("training_batch", 4, "Pictures in a batch.", lower_bound=1)
define_path("weights", "slim", "Fixed network, as nstjax takes it.")

FLAGS = flags.FLAGS


def measure() -> dict[str, list[dict[str, Any]]]:
    """The rows of each model and size, printed as they are measured: {title: rows}."""
    benchmark.share_gpu()
    if FLAGS.threads and not hasattr(os, "sched_setaffinity"):
        raise InputError("--threads needs Linux: do without it")
    if FLAGS.threads:
        # The workers inherit this, and JAX starts a thread for each processor.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: FLAGS.threads])
    sizes = [benchmark.exact_size("sizes", size) for size in FLAGS.sizes]
    photo, painting = demo_pictures()
    tasks = {
        model: programs.read_task(model, painting, FLAGS.weights)
        for model in FLAGS.models
    }
    for task, (height, width) in itertools.product(tasks.values(), sizes):
        check_sides(height, width, task.architecture)
    names = {"nstjax": "feedforward_programs", "torch": "torch_programs"}
    if importlib.util.find_spec("torch") is None:
        del names["torch"]
        print("PyTorch is not installed, so nstjax alone: pip install torch")
    on_gpu = jax.default_backend() == "gpu"
    precision = FLAGS.precision or ("bfloat16" if on_gpu else "float32")
    cases = {}
    for (model, task), (height, width) in itertools.product(tasks.items(), sizes):
        images = programs.shifted(photo, FLAGS.batch, height, width)
        title = f"{model}: {FLAGS.batch} of {width}x{height}, {precision}"
        cases[title] = task._replace(images=images, precision=precision)
    size, batch = FLAGS.training_size, FLAGS.training_batch
    for model, task in tasks.items():
        if FLAGS.training and isinstance(task.architecture, TransformArchitecture):
            styles = task.architecture.styles
            title = f"training {model}: {batch} of {size}x{size}, float32"
            cases[title] = task._replace(
                vgg=jax.tree.map(np.asarray, load_network(FLAGS.weights).params),
                images=programs.shifted(photo, batch, size, size),
                paintings=programs.shifted(painting, styles, size, size),
            )
    return {title: report(title, task, names) for title, task in cases.items()}


def report(title: str, task: Task, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Compare the implementations' results, time them and print the table."""
    workers = benchmark.Workers(
        {name: (f"{module}.{name}_feedforward", task) for name, module in names.items()}
    )
    results = {name: first.result for name, first in workers.firsts.items()}
    print_comparison(results, task)
    measured = workers.measure(FLAGS.rounds)
    rows = []
    for name, (seconds, _) in measured.items():
        first = workers.firsts[name]
        each = statistics.median(seconds) / len(task.images)
        row = {"": name, "device": first.device, "compile s": first.compile_seconds}
        row |= {"ms/picture": 1e3 * each, "pictures/s": 1 / each}
        if "torch" in names and name == "nstjax":
            row |= benchmark.ratios(seconds, measured["torch"][0], "of torch")
        rows.append(row)
    benchmark.print_rows(title, rows)
    return rows


def print_comparison(results: Mapping[str, np.ndarray], task: Task) -> None:
    """Print how the results agree; exit if they do not."""
    ours, theirs = results["nstjax"], results.get("torch")
    if task.paintings is not None:
        for name, losses in results.items():
            print(f"{name}: first losses {', '.join(f'{loss:.7g}' for loss in losses)}")
        if theirs is not None:
            difference = abs(ours[0] / theirs[0] - 1)
            check("relative difference of the first", difference, LARGEST_DIFFERENCE)
    elif task.precision == "bfloat16":
        full = task._replace(precision="float32")
        exact = programs.nstjax_inference(full).result
        for name, pictures in results.items():
            difference = np.abs(pictures - exact).mean() / np.ptp(exact)
            what = f"{name}: mean difference from float32, of the range"
            check(what, difference, LARGEST_MEAN_DIFFERENCE)
    elif theirs is not None:
        differences = np.abs(ours - theirs) / np.ptp(theirs)
        if isinstance(task.architecture, DescentArchitecture):
            # Where inputs of a pooling nearly tie, rounding moves a whole gradient.
            mean = differences.mean()
            check("mean difference, of the range", mean, LARGEST_DIFFERENCE)
        else:
            largest = differences.max()
            check("largest difference, of the range", largest, LARGEST_DIFFERENCE)


def check(what: str, difference: float, limit: float) -> None:
    """Print a difference; exit if it is not below its limit."""
    print(f"{what}: {difference:.1e}", flush=True)
    if not difference < limit:
        sys.exit(f"feedforward: error: {difference:.1e} is not below {limit:g}")


if __name__ == "__main__":
    benchmark.run_benchmark("feedforward", __name__, __doc__, measure)
