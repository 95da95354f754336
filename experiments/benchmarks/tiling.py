"""Times a step by tiles beside the whole image's, and how much they differ.

    python -m experiments.benchmarks.tiling --size=1024x768 --tiles=512,256

Of the product's own steps with Adam at the gatys2016 preset: seconds, the loss and the
image's gradient. They take turns.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.step_programs import image_gradient, make_task, problem_of
from nstjax.problem.problem import Problem
from nstjax.runtime.memory import free_before_next_step

flags.DEFINE_string("size", "1024x768", "WIDTHxHEIGHT.")
flags.DEFINE_list("tiles", "512,256", "Sides of tiles.")
flags.DEFINE_list("precisions", "float32,mixed", "See nstjax --precision.")
flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """A row for each precision and side, printed at the end; None is the whole."""
    tiles = [None, *benchmark.whole_numbers("tiles")]
    free_before_next_step()
    height, width = benchmark.exact_size("size", FLAGS.size)
    task = make_task(width, height)
    rows = []
    for precision in FLAGS.precisions:
        steps = {
            tile: stepper(problem_of(task, tile, precision=precision)) for tile in tiles
        }
        firsts = {}
        for tile, step in steps.items():
            state, info = step()
            firsts[tile] = float(info.loss[0]), image_gradient(state.opt_state)
        seconds = benchmark.timed_in_turns(steps, FLAGS.repeats)
        whole_loss, whole_gradient = firsts[None]
        for tile, (loss, gradient) in firsts.items():
            error = np.linalg.norm(gradient - whole_gradient)
            row = {"precision": precision, "tile": tile}
            row["s/step"] = statistics.median(seconds[tile])
            row |= benchmark.ratios(seconds[tile], seconds[None])
            row["loss error"] = abs(loss / whole_loss - 1)
            row["gradient error"] = float(error / np.linalg.norm(whole_gradient))
            rows.append(row)
    benchmark.print_rows(f"Steps at {FLAGS.size} by tiles", rows)
    return rows


def stepper(problem: Problem) -> Callable[[], Any]:
    """What makes the next step of a problem, and gives its state and info."""
    state = problem.state

    def step() -> Any:
        nonlocal state
        state, info = problem.steps.advance(state, 1, *problem.data)
        return state, info

    return step


if __name__ == "__main__":
    benchmark.run_benchmark("tiling", __name__, __doc__, measure)
