"""Times feed-forward networks: nstjax against the same networks in PyTorch.

    python -m experiments.benchmarks.feedforward --training
    python -m experiments.benchmarks.feedforward --sizes=512x512,1920x1080 \
        --precision=bfloat16 --batch=8

Inference is what a network does to pictures that lie on the device: for arbitrary style
encoder, AdaIN and decoder, the painting encoded before. A training step is forward and
backward through the network and VGG-19 or what stands for it (--weights), with the
losses of the preset lengstrom, and Adam. Compilation is timed apart. Ratios below 1
are nstjax's.

Each implementation has a process to itself. They take turns, and ratios are taken
within a round, so that a machine that is busy for a while slows both sides of a ratio.
Both keep freed memory, as nstjax's commands do. Results are compared before anything is
timed.
"""

import importlib.util
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.benchmarks.feedforward_implementations import (
    FirstRun,
    Program,
    nstjax_inference,
    nstjax_training,
)
from experiments.benchmarks.feedforward_tasks import (
    Task,
    as_numpy,
    read_task,
    shifted,
)
from experiments.benchmarks.flag_values import exact_size
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path, define_paths
from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.networks.model_file import BUNDLED
from nstjax.feedforward.networks.networks import check_sides
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_network
from nstjax.runtime.memory import keep_freed_memory

USAGE = """
Milliseconds per picture and training pictures per second, nstjax beside PyTorch.

  python -m experiments.benchmarks.feedforward --models=painterly,arbitrary --training
"""

LARGEST_DIFFERENCE = 1e-3
LARGEST_MEAN_DIFFERENCE = 0.02  # of bfloat16 from float32
ROUND_SECONDS = 0.5  # a shorter one is not timed well
WARM_UP_ROUNDS = 1

define_paths("models", ",".join(BUNDLED), "Names, model files, or random.")
flags.DEFINE_list("sizes", "256x256,512x512,1920x1080", "Each WIDTHxHEIGHT.")
flags.DEFINE_integer("rounds", 7, "Timed rounds.", lower_bound=1)
flags.DEFINE_integer("threads", None, "Processors to use (Linux).", lower_bound=1)
flags.DEFINE_integer("batch", 1, "Pictures at a time, in inference.", lower_bound=1)
flags.DEFINE_enum(
    "precision",
    None,
    ["float32", "bfloat16"],
    "Of inference; if not given bfloat16 on a GPU, else float32.",
)
flags.DEFINE_bool("training", False, "Time training steps too.")
flags.DEFINE_integer("training_size", 256, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("training_batch", 4, "Pictures in a batch.", lower_bound=1)
define_path("weights", "slim", "Fixed network, as nstjax takes it.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    if arguments:
        raise InputError("give flags only")
    # Several processes share a GPU, of which JAX would take most at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if FLAGS.threads and not hasattr(os, "sched_setaffinity"):
        raise InputError("--threads needs Linux: do without it")
    if FLAGS.threads:
        # The workers inherit this, and JAX starts a thread for each processor.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: FLAGS.threads])
    threads = FLAGS.threads or os.cpu_count() or 1
    sizes = [exact_size("sizes", size) for size in FLAGS.sizes]
    photo, painting = demo_pictures()
    tasks = {
        model: read_task(model, painting, FLAGS.weights, threads)
        for model in FLAGS.models
    }
    for task in tasks.values():
        for height, width in sizes:
            check_sides(height, width, task.architecture)
    names = ["nstjax", "torch"]
    if importlib.util.find_spec("torch") is None:
        names.remove("torch")
        print("PyTorch is not installed, so nstjax alone: pip install torch")
    on_gpu = jax.default_backend() == "gpu"
    precision = FLAGS.precision or ("bfloat16" if on_gpu else "float32")
    for model, task in tasks.items():
        for height, width in sizes:
            print(f"\n{model}: {FLAGS.batch} of {width}x{height}, {precision}")
            images = shifted(photo, FLAGS.batch, height, width)
            report(task._replace(images=images, precision=precision), names)
    size, batch = FLAGS.training_size, FLAGS.training_batch
    for model, task in tasks.items():
        if FLAGS.training and isinstance(task.architecture, TransformArchitecture):
            print(f"\ntraining {model}: {batch} of {size}x{size}, float32")
            task = task._replace(
                vgg=as_numpy(load_network(FLAGS.weights).params),
                images=shifted(photo, batch, size, size),
                paintings=shifted(painting, task.architecture.styles, size, size),
            )
            report(task, names)
    return 0


def report(task: Task, names: Sequence[str]) -> None:
    """Compare the implementations' results, time them and print the table."""
    context = multiprocessing.get_context("forkserver")
    pipes: dict[str, Any] = {}
    for name in names:
        pipes[name], end = context.Pipe()
        context.Process(target=work, args=(name, end), daemon=True).start()
        end.close()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        firsts: dict[str, FirstRun] = {}
        # One after the other: compilation is timed.
        for name, pipe in pipes.items():
            pipe.send(task)
            firsts[name] = pipe.recv()
        compare({name: first.result for name, first in firsts.items()}, task)
        for turn in range(WARM_UP_ROUNDS + FLAGS.rounds):
            for name, pipe in pipes.items():
                pipe.send(True)
                seconds[name].append(pipe.recv() / len(task.images))
        for pipe in pipes.values():
            pipe.send(False)
    except (EOFError, ConnectionError):
        sys.exit(f"feedforward: error: {name} ended early: see its message above")
    print(f"{'':<7}{'device':>7}{'compile s':>11}{'ms/picture':>12}{'pictures/s':>12}")
    for name, (device, compile_seconds, _) in firsts.items():
        each = statistics.median(seconds[name][WARM_UP_ROUNDS:])
        compiling = f"{compile_seconds:.2f}" if compile_seconds else ""
        print(
            f"{name:<7}{device:>7}{compiling:>11}{1e3 * each:>12.2f}{1 / each:>12.2f}"
        )
    if "torch" in names:
        ratios = np.divide(seconds["nstjax"], seconds["torch"])[WARM_UP_ROUNDS:]
        print(
            f"nstjax/torch: {np.median(ratios):.2f} of the time "
            f"({ratios.min():.2f} to {ratios.max():.2f})",
            flush=True,
        )


def work(name: str, pipe: Connection) -> None:
    """A worker: take a task, then time a round whenever the parent asks for one."""
    keep_freed_memory()
    task: Task = pipe.recv()
    first, run = program_of(name, task)
    pipe.send(first)
    count = 1
    while pipe.recv():
        start = time.perf_counter()
        run(count)
        seconds = (time.perf_counter() - start) / count
        pipe.send(seconds)
        count = max(1, round(ROUND_SECONDS / seconds))


def program_of(name: str, task: Task) -> Program:
    """The implementation of that name."""
    training = task.paintings is not None
    if name == "nstjax":
        return nstjax_training(task) if training else nstjax_inference(task)
    # Not at the top: it may not be installed, and nstjax's workers do without.
    from experiments.benchmarks import feedforward_torch

    if training:
        return feedforward_torch.torch_training(task)
    return feedforward_torch.torch_inference(task)


def compare(results: Mapping[str, np.ndarray], task: Task) -> None:
    """Print how the results agree; exit if they do not."""
    ours, theirs = results["nstjax"], results.get("torch")
    if task.paintings is not None:
        for name, losses in results.items():
            print(f"{name}: first losses {', '.join(f'{loss:.7g}' for loss in losses)}")
        if theirs is not None:
            difference = abs(ours[0] / theirs[0] - 1)
            check("relative difference of the first", difference, LARGEST_DIFFERENCE)
    elif task.precision == "bfloat16":
        exact = nstjax_inference(task._replace(precision="float32"))[0].result
        for name, pictures in results.items():
            difference = np.abs(pictures - exact).mean() / np.ptp(exact)
            what = f"{name}: mean difference from float32, of the range"
            check(what, difference, LARGEST_MEAN_DIFFERENCE)
    elif theirs is not None:
        difference = np.abs(ours - theirs).max() / np.ptp(theirs)
        check("largest difference, of the range", difference, LARGEST_DIFFERENCE)


def check(what: str, difference: float, limit: float) -> None:
    """Print a difference; exit if it is not below its limit."""
    print(f"{what}: {difference:.1e}", flush=True)
    if not difference < limit:
        sys.exit(f"feedforward: error: {difference:.1e} is not below {limit:g}")


if __name__ == "__main__":
    run_command("feedforward", __name__, USAGE, main)
