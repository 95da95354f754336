"""How much of a GPU's matrix throughput a run and a sweep reach.

    python -m experiments.benchmarks.gpu

- ``matmul``: bfloat16 products of 8192×8192 matrices, which is the peak that the others
  are shares of.
- ``run``: 2500 steps at 384×512 (the matlab preset's size), all but compilation.
- ``sweep``: 64 settings at 256×256 side by side.

FLOP are those of the convolutions and their input gradients. The comparison with
PyTorch is that of ``experiments.benchmarks.step``, whose list has torch.compile.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks.flag_values import exact_size, no_arguments
from experiments.benchmarks.step_workers import count_operations, make_task
from experiments.benchmarks.tables import print_rows, write_json
from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.memory import compile_sweep
from nstjax.analysis.sweeps.settings import grid
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.images.resizing import Size
from nstjax.io.demo import demo_pictures
from nstjax.optimization.steps import run
from nstjax.presets.preset import Preset, customize
from nstjax.presets.published import get_preset
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.problem import prepare

USAGE = """
Share of a GPU's peak that a run and a sweep reach.

  python -m experiments.benchmarks.gpu
"""

flags.DEFINE_integer("matmul_size", 8192, "Rows and columns.", lower_bound=1)
flags.DEFINE_integer("steps", 2500, "Of the run.", lower_bound=1)
flags.DEFINE_string("size", "512x384", "WIDTHxHEIGHT of the run.")
flags.DEFINE_integer("lanes", 64, "Settings of the sweep.", lower_bound=1)
flags.DEFINE_integer("sweep_size", 256, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("sweep_steps", 100, "Of the sweep.", lower_bound=1)
flags.DEFINE_list("precisions", "float32,mixed", "Which ones.")
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    no_arguments(arguments)
    height, width = exact_size("size", FLAGS.size)
    peak = matmul_rate(FLAGS.matmul_size)
    rows = [{"what": "matmul", "precision": "bfloat16", "TFLOP/s": peak / 1e12}]
    for precision in FLAGS.precisions:
        rows.append(
            {
                "what": f"run of {FLAGS.steps} steps at {width}x{height}",
                "precision": precision,
                **run_row(height, width, precision, peak),
            }
        )
        rows.append(
            {
                "what": f"sweep of {FLAGS.lanes} at {FLAGS.sweep_size}",
                "precision": precision,
                **sweep_row(precision, peak),
            }
        )
    print_rows(jax.devices()[0].device_kind, rows)
    write_json(FLAGS.output, rows)
    return 0


def matmul_rate(size: int) -> float:
    """FLOP per second of a bfloat16 matrix product."""
    a = jnp.ones((size, size), jnp.bfloat16)
    product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
    seconds = timed(lambda: product(a, a))
    return 2 * size**3 / min(seconds, timed(lambda: product(a, a)))


def timed(work: Callable[[], Any]) -> float:
    """Seconds of the second time."""
    jax.block_until_ready(work())
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def run_row(height: int, width: int, precision: str, peak: float) -> dict[str, float]:
    """Seconds of a run, and its share of the peak."""
    task = make_task(width, height)
    content, style, _ = task.pictures
    preset = settings(Size("exact", (height, width)), precision)
    params = jax.tree.map(jnp.asarray, task.params)

    def steps() -> Any:
        problem = prepare(content, [style], params, preset)
        jax.block_until_ready((problem.state, problem.data))
        start = time.perf_counter()
        for state, _ in run(problem.steps, problem.state, problem.data, FLAGS.steps):
            pass
        jax.block_until_ready(state)
        return time.perf_counter() - start

    steps()
    return row(steps(), FLAGS.steps * count_operations(task), peak)


def sweep_row(precision: str, peak: float) -> dict[str, float]:
    """The same of a sweep."""
    size = FLAGS.sweep_size
    preset = settings(Size("exact", (size, size)), precision, steps=FLAGS.sweep_steps)
    task = make_task(size, size)
    params = jax.tree.map(jnp.asarray, task.params)
    content, style = demo_pictures()
    betas = preset.beta * np.geomspace(0.1, 10, FLAGS.lanes)
    batch = prepare_batch(
        content, [style], params, preset, list(grid({"beta": betas.tolist()}))
    )
    sweep = make_sweep(make_transfer(preset), batch.axes)
    sweep = compile_sweep(sweep, batch, FLAGS.lanes)
    seconds = timed(lambda: run_batch(sweep, batch))
    operations = FLAGS.lanes * (FLAGS.sweep_steps + 1) * count_operations(task)
    return row(seconds, operations, peak)


def settings(size: Size, precision: str, **others: Any) -> Preset:
    """gatys2016 with Adam."""
    return customize(
        get_preset("gatys2016"),
        optimizer="adam",
        size=size,
        pyramid="none",
        precision=precision,
        **others,
    )


def row(seconds: float, operations: float, peak: float) -> dict[str, float]:
    """What the table says of a time."""
    rate = operations / seconds
    return {"seconds": seconds, "TFLOP/s": rate / 1e12, "of matmul": rate / peak}


if __name__ == "__main__":
    run_command("gpu", __name__, USAGE, main)
