"""Times a step by tiles beside the whole image's, and how much they differ.

    python -m experiments.benchmarks.tiling --size=1024x768 --tiles=512,256

Of the product's own steps with Adam at the gatys2016 preset: seconds, the loss and the
image's gradient. They take turns.
"""

import functools
import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.step_programs import image_gradient, make_task, step_preset
from nstjax.commands.path_flags import define_path
from nstjax.problem.problem import Problem, prepare
from nstjax.runtime.memory import free_before_next_step

flags.DEFINE_string("size", "1024x768", "WIDTHxHEIGHT.")
flags.DEFINE_list("tiles", "512,256", "Sides of tiles.")
flags.DEFINE_list("precisions", "float32,mixed", "See nstjax --precision.")
flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """Measure every precision, and print the table."""
    tiles = [None, *benchmark.whole_numbers("tiles")]
    free_before_next_step()
    height, width = benchmark.exact_size("size", FLAGS.size)
    task = make_task(width, height)
    params = jax.tree.map(jnp.asarray, task.params)
    content, style, image = task.pictures
    rows = []
    for precision in FLAGS.precisions:
        preset = step_preset(height, width, precision=precision)
        problems = {
            tile: prepare(content, [style], params, preset, init_image=image, tile=tile)
            for tile in tiles
        }
        rows += [{"precision": precision, **row} for row in measure_tiles(problems)]
    benchmark.print_rows(f"Steps at {FLAGS.size} by tiles", rows)
    return rows


def measure_tiles(problems: dict[int | None, Problem]) -> list[dict[str, Any]]:
    """A row for each side of the tiles; None is the whole image."""
    states: dict[int | None, Any] = {}
    losses, gradients = {}, {}

    def step(tile: int | None) -> Any:
        problem = problems[tile]
        states[tile], info = problem.steps.advance(states[tile], 1, *problem.data)
        return states[tile], info

    for tile, problem in problems.items():
        states[tile] = problem.state
        state, info = step(tile)
        gradients[tile], losses[tile] = image_gradient(state.opt_state), info.loss[0]
    steps = {tile: functools.partial(step, tile) for tile in problems}
    seconds = benchmark.timed_in_turns(steps, FLAGS.repeats)
    whole = gradients[None]
    return [
        {
            "tile": tile,
            "s/step": statistics.median(seconds[tile]),
            **benchmark.ratios(seconds[tile], seconds[None]),
            "loss error": abs(float(losses[tile]) / float(losses[None]) - 1),
            "gradient error": float(
                np.linalg.norm(gradients[tile] - whole) / np.linalg.norm(whole)
            ),
        }
        for tile in problems
    ]


if __name__ == "__main__":
    benchmark.run_benchmark("tiling", __name__, __doc__, measure)
