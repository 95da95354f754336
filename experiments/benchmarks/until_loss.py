"""Runs that end at a given loss, timed."""

import time
from typing import NamedTuple

import numpy as np

from nstjax.optimization.steps import run
from nstjax.problem.problem import Problem, evaluate


class Trial(NamedTuple):
    """Seconds and updates of the last scale until a loss was reached.

    Attributes:
      seconds: of all scales; inf if the loss was not reached.
      steps: of the last scale.
      lowest: loss of the last scale.
      image: the last, in the network's units.
    """

    seconds: float
    steps: int
    lowest: float
    image: np.ndarray


def compile_scales(problem: Problem) -> None:
    """Run a step of every scale."""
    for index in range(len(problem.scales)):
        scale = problem.at_scale(index, None)
        evaluate(scale, scale.state)


def until(problem: Problem, loss: float, last_steps: int | None = None) -> Trial:
    """Run until the last scale's loss is at most ``loss``, or to the end.

    Args:
      problem: the first scale.
      loss: the mark.
      last_steps: the most updates of the last scale; its own where not given.
    """
    state, seconds, lowest = problem.state, 0.0, np.inf
    while True:
        scale = problem.scale
        is_last = scale == problem.scales[-1]
        end = scale.last_step
        if is_last and last_steps:
            end = scale.first_step + last_steps
        started = time.perf_counter()
        for state, info in run(problem.steps, state, problem.data, end):
            if is_last:
                lowest = min(lowest, float(info.loss.min()))
                if lowest <= loss:
                    break
        seconds += time.perf_counter() - started
        if is_last:
            break
        started = time.perf_counter()
        following = problem.next_scale(state)
        seconds += time.perf_counter() - started
        assert following is not None
        problem, state = following, following.state
    steps = int(state.step) - problem.scale.first_step
    state, info = evaluate(problem, state)
    lowest = min(lowest, float(info.loss[0]))
    reached = lowest <= loss or loss == -np.inf
    image = np.asarray(state.best_image)
    return Trial(seconds if reached else np.inf, steps, lowest, image)
