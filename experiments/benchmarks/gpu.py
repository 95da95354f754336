"""How much of a GPU's matrix throughput a run and a sweep reach.

    python -m experiments.benchmarks.gpu

- ``matmul``: bfloat16 products of 8192×8192 matrices, which is the peak that the others
  are shares of.
- ``run``: 2500 steps at 384×512 (the matlab preset's size), all but compilation.
- ``sweep``: 64 settings at 256×256 side by side.

FLOP are those of the convolutions and their input gradients. The comparison with
PyTorch is that of ``experiments.benchmarks.step``, whose list has torch.compile.
"""

import collections
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.step_programs import (
    count_operations,
    make_task,
    step_preset,
)
from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.memory import compile_sweep
from nstjax.analysis.sweeps.settings import grid
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.commands.path_flags import define_path
from nstjax.io.demo import demo_pictures
from nstjax.optimization.steps import run
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.problem import prepare

flags.DEFINE_integer("matmul_size", 8192, "Rows and columns.", lower_bound=1)
flags.DEFINE_integer("steps", 2500, "Of the run.", lower_bound=1)
flags.DEFINE_string("size", "512x384", "WIDTHxHEIGHT of the run.")
flags.DEFINE_integer("lanes", 64, "Settings of the sweep.", lower_bound=1)
flags.DEFINE_integer("sweep_size", 256, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("sweep_steps", 100, "Of the sweep.", lower_bound=1)
flags.DEFINE_list("precisions", "float32,mixed", "Which ones.")
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS
Work = tuple[float, float]  # its operations, and its seconds


def measure() -> list[dict[str, Any]]:
    """A row for each, printed at the end."""
    height, width = benchmark.exact_size("size", FLAGS.size)
    operations, seconds = matmul(FLAGS.matmul_size)
    peak = operations / seconds
    rows = [{"what": "matmul", "precision": "bfloat16", "TFLOP/s": peak / 1e12}]
    for precision in FLAGS.precisions:
        for what, (operations, seconds) in {
            f"run of {FLAGS.steps} steps at {width}x{height}": transfer(
                height, width, precision
            ),
            f"sweep of {FLAGS.lanes} at {FLAGS.sweep_size}": sweep(precision),
        }.items():
            rate = operations / seconds
            row = {"what": what, "precision": precision, "TFLOP/s": rate / 1e12}
            rows.append(row | {"seconds": seconds, "of matmul": rate / peak})
    benchmark.print_rows(jax.devices()[0].device_kind, rows)
    return rows


def matmul(size: int) -> Work:
    """A bfloat16 matrix product."""
    a = jnp.ones((size, size), jnp.bfloat16)
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    return 2 * size**3, min(warm_seconds(lambda: product(a, a)) for _ in range(2))


def warm_seconds(work: Callable[[], Any]) -> float:
    """Seconds of the second time."""
    benchmark.timed(work)
    return benchmark.timed(work)


def transfer(height: int, width: int, precision: str) -> Work:
    """A run."""
    task = make_task(width, height)
    content, style, _ = task.pictures
    preset = step_preset(height, width, precision=precision)
    params = jax.tree.map(jnp.asarray, task.params)

    def seconds() -> float:
        problem = prepare(content, [style], params, preset)
        jax.block_until_ready((problem.state, problem.data))
        steps = run(problem.steps, problem.state, problem.data, FLAGS.steps)
        return benchmark.timed(lambda: list(collections.deque(steps, maxlen=1)))

    seconds()
    return FLAGS.steps * count_operations(task), seconds()


def sweep(precision: str) -> Work:
    """Settings of a sweep side by side."""
    size = FLAGS.sweep_size
    preset = step_preset(size, size, precision=precision, steps=FLAGS.sweep_steps)
    task = make_task(size, size)
    params = jax.tree.map(jnp.asarray, task.params)
    content, style = demo_pictures()
    betas = preset.beta * np.geomspace(0.1, 10, FLAGS.lanes)
    settings = list(grid({"beta": betas.tolist()}))
    batch = prepare_batch(content, [style], params, preset, settings)
    compiled = make_sweep(make_transfer(preset), batch.axes)
    fitted = compile_sweep(compiled, batch, FLAGS.lanes)
    operations = FLAGS.lanes * (FLAGS.sweep_steps + 1) * count_operations(task)
    return operations, warm_seconds(lambda: run_batch(fitted, batch))


if __name__ == "__main__":
    benchmark.run_benchmark("gpu", __name__, __doc__, measure)
