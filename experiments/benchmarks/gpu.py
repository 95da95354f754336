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
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks import step_programs as programs
from nstjax import Size, customize, run
from nstjax.analysis.sweeps.sweep import run_batch

flags.DEFINE_integer("matmul_size", 8192, "Rows and columns.", lower_bound=1)
flags.DEFINE_integer("steps", 2500, "Of the run.", lower_bound=1)
flags.DEFINE_string("size", "512x384", "WIDTHxHEIGHT of the run.")
flags.DEFINE_integer("lanes", 64, "Settings of the sweep.", lower_bound=1)
flags.DEFINE_integer("sweep_size", 256, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("sweep_steps", 100, "Of the sweep.", lower_bound=1)
flags.DEFINE_list("precisions", "float32,mixed", "Which ones.")

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """A row for each, printed at the end."""
    benchmark.exact_size("size", FLAGS.size)  # refused before anything is timed
    a = jnp.ones((FLAGS.matmul_size, FLAGS.matmul_size), jnp.bfloat16)
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    seconds = min(warm_seconds(lambda: product(a, a)) for _ in range(2))
    peak = 2 * FLAGS.matmul_size**3 / seconds
    rows = [{"what": "matmul", "precision": "bfloat16", "TFLOP/s": peak / 1e12}]
    for precision in FLAGS.precisions:
        works = {
            f"run of {FLAGS.steps} steps at {FLAGS.size}": transfer,
            f"sweep of {FLAGS.lanes} at {FLAGS.sweep_size}": sweep,
        }
        for what, work in works.items():
            operations, seconds = work(precision)
            rate = operations / seconds
            row = {"what": what, "precision": precision, "TFLOP/s": rate / 1e12}
            rows.append(row | {"seconds": seconds, "of matmul": rate / peak})
    benchmark.print_rows(jax.devices()[0].device_kind, rows)
    return rows


def warm_seconds(work: Callable[[], Any]) -> float:
    """Seconds of the second time."""
    benchmark.timed(work)
    return benchmark.timed(work)


def transfer(precision: str) -> tuple[float, float]:
    """Operations and seconds of a run."""
    height, width = benchmark.exact_size("size", FLAGS.size)
    task = programs.make_task(width, height)

    def seconds() -> float:
        problem = programs.problem_of(task, precision=precision)
        jax.block_until_ready((problem.state, problem.data))
        steps = run(problem.steps, problem.state, problem.data, FLAGS.steps)
        return benchmark.timed(lambda: list(collections.deque(steps, maxlen=1)))

    seconds()
    return FLAGS.steps * programs.count_operations(task), seconds()


def sweep(precision: str) -> tuple[float, float]:
    """Operations and seconds of a sweep's settings side by side."""
    size, steps = FLAGS.sweep_size, FLAGS.sweep_steps
    task = programs.make_task(size, size)
    content, style, _ = task.pictures
    preset = customize(
        programs.PRESET,
        size=Size("exact", (size, size)),
        precision=precision,
        steps=steps,
    )
    settings = programs.SweepTask(content, style, task.params, preset, FLAGS.lanes)
    compiled, batch = programs.compiled_sweep(settings)
    operations = FLAGS.lanes * (steps + 1) * programs.count_operations(task)
    return operations, warm_seconds(lambda: run_batch(compiled, batch))


if __name__ == "__main__":
    benchmark.run_benchmark("gpu", __name__, __doc__, measure)
