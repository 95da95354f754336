"""Times a step by tiles beside the whole image's, and how much they differ.

    python -m experiments.benchmarks.tiling --size=1024x768 --tiles=512,256

Of the product's own steps with Adam at the gatys2016 preset: seconds, the loss and the
image's gradient. They take turns.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags

from experiments.benchmarks.flag_values import (
    exact_size,
    no_arguments,
    whole_numbers,
)
from experiments.benchmarks.step_implementations import ADAM_BETA_1
from experiments.benchmarks.step_workers import make_task
from experiments.benchmarks.tables import print_rows, write_json
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.images.resizing import Size
from nstjax.presets.preset import customize
from nstjax.presets.published import get_preset
from nstjax.problem.problem import Problem, prepare
from nstjax.runtime.memory import free_before_next_step

USAGE = """
Seconds and errors of steps by tiles.

  python -m experiments.benchmarks.tiling --size=1024x768 --tiles=512,256
"""

flags.DEFINE_string("size", "1024x768", "WIDTHxHEIGHT.")
flags.DEFINE_list("tiles", "512,256", "Sides of tiles.")
flags.DEFINE_list("precisions", "float32,mixed", "See nstjax --precision.")
flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    no_arguments(arguments)
    tiles = [None, *whole_numbers("tiles")]
    free_before_next_step()
    height, width = exact_size("size", FLAGS.size)
    task = make_task(width, height)
    params = jax.tree.map(jnp.asarray, task.params)
    content, style, image = task.pictures

    def problem(precision: str, tile: int | None) -> Problem:
        preset = customize(
            get_preset("gatys2016"),
            optimizer="adam",
            precision=precision,
            pyramid="none",
            size=Size("exact", (height, width)),
        )
        return prepare(content, [style], params, preset, init_image=image, tile=tile)

    rows = []
    for precision in FLAGS.precisions:
        rows += measure({tile: problem(precision, tile) for tile in tiles}, precision)
    print_rows(f"Steps at {FLAGS.size} by tiles", rows)
    write_json(FLAGS.output, rows)
    return 0


def measure(
    problems: dict[int | None, Problem], precision: str
) -> list[dict[str, Any]]:
    """A row for each side of the tiles; None is the whole image."""
    states, losses, gradients = {}, {}, {}
    for tile, problem in problems.items():
        state, info = problem.steps.advance(problem.state, 1, *problem.data)
        # Adam's first moment is now (1 - β₁)·gradient.
        moment = np.asarray(optax.tree.get(state.opt_state, "mu"), np.float64)
        gradients[tile] = moment / (1 - ADAM_BETA_1)
        states[tile], losses[tile] = state, float(info.loss[0])
    seconds: dict[int | None, list[float]] = {tile: [] for tile in problems}
    for _ in range(FLAGS.repeats):
        for tile, problem in problems.items():
            start = time.perf_counter()
            states[tile], _ = problem.steps.advance(states[tile], 1, *problem.data)
            jax.block_until_ready(states[tile])
            seconds[tile].append(time.perf_counter() - start)
    norm = np.linalg.norm(gradients[None])
    return [
        {
            "precision": precision,
            "tile": tile,
            "s/step": statistics.median(seconds[tile]),
            "ratio": statistics.median(
                np.divide(seconds[tile], seconds[None]).tolist()
            ),
            "loss error": abs(losses[tile] / losses[None] - 1),
            "gradient error": float(
                np.linalg.norm(gradients[tile] - gradients[None]) / norm
            ),
        }
        for tile in problems
    ]


if __name__ == "__main__":
    run_command("tiling", __name__, USAGE, main)
