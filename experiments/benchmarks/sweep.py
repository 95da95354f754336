"""Times a sweep against a loop of single runs, and measures its memory.

    python -m experiments.benchmarks.sweep --lanes=64 --size=128 --steps=10

Both do the same work: the same settings of one preset for the same number of updates,
with the losses read after each and evaluated at the end. The sweep runs them side by
side in one program, the loop one after another with the product's own compiled step.
Neither's compilation nor the making of targets is timed. They take turns, and ratios
are taken within a round. On a busy CPU the processor's time tells more than the clock.

The memory of each number in --memory_lanes is measured in a process of its own, and
compared with what was predicted there before the first step.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.step_programs import SweepTask, compiled_sweep
from nstjax import Size, customize, get_preset, run
from nstjax.analysis.sweeps.settings import preset_with
from nstjax.analysis.sweeps.sweep import run_batch
from nstjax.commands.path_flags import define_path
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_network
from nstjax.problem.problem import evaluate, make_weights, prepare
from nstjax.runtime.memory import free_before_next_step

flags.DEFINE_integer("lanes", 64, "Settings.", lower_bound=1)
flags.DEFINE_integer("size", 128, "Pixels on a side.", lower_bound=16)
flags.DEFINE_integer("steps", 10, "Updates of each run.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Timed rounds; 0: none.", lower_bound=0)
flags.DEFINE_list("memory_lanes", "16,64", "Settings at a time to measure memory for.")
flags.DEFINE_string("preset", "gatys2016", "Published settings.")
flags.DEFINE_string("optimizer", "adam", "adam, lbfgs or lbfgs-linesearch.")
define_path("weights", "slim", "As nstjax takes them.")

FLAGS = flags.FLAGS


def measure() -> dict[str, list[dict[str, Any]]]:
    """Speeds and memory, printed."""
    free_before_next_step()
    preset = customize(
        get_preset(FLAGS.preset),
        optimizer=FLAGS.optimizer,
        size=Size("exact", (FLAGS.size, FLAGS.size)),
        steps=FLAGS.steps,
        pyramid="none",
    )
    memory_lanes = benchmark.whole_numbers("memory_lanes") if FLAGS.memory_lanes else []
    params = jax.tree.map(np.asarray, load_network(FLAGS.weights).params)
    task = SweepTask(*demo_pictures(), params, preset, FLAGS.lanes)
    rates = speeds(task) if FLAGS.rounds else []
    if rates:
        title = f"{FLAGS.lanes} settings of {FLAGS.steps} steps, {FLAGS.size} pixels"
        benchmark.print_rows(title, rates)
    memory = []
    for lanes in memory_lanes:
        program = "step_programs.sweep_peak", task._replace(lanes=lanes)
        predicted, peak = benchmark.Workers({"sweep": program}).firsts["sweep"].result
        row = {"at a time": lanes, "predicted MB": predicted / 1e6}
        memory.append(row | {"measured MB": peak / 1e6, "error": predicted / peak - 1})
    if memory:
        benchmark.print_rows("Peak memory", memory)
    return {"speed": rates, "memory": memory}


def speeds(task: SweepTask) -> list[dict[str, Any]]:
    """Settings per second both ways and their ratio, by clock and by processor."""
    sweep, batch = compiled_sweep(task)
    params, preset = jax.tree.map(jnp.asarray, task.params), task.preset
    problem = prepare(task.content, [task.style], params, preset)

    def one_by_one() -> None:
        """As ``nstjax.stylize`` runs them, each from a copy of the problem's state."""
        for setting in task.settings:
            state = jax.tree.map(jnp.copy, problem.state)
            weights = make_weights(preset_with(setting, preset))
            data = problem.data._replace(weights=weights)
            for state, _ in run(problem.steps, state, data, preset.steps):
                pass
            evaluate(problem._replace(data=data), state)

    ways = (lambda: run_batch(sweep, batch), one_by_one)
    for way in ways:
        way()
    seconds = np.array([[timed(way) for way in ways] for _ in range(FLAGS.rounds)])
    rows = []
    for index, clock in enumerate(("clock", "processor")):
        together, loop = seconds[:, 0, index], seconds[:, 1, index]
        row: dict[str, Any] = {"by": clock}
        row["sweep settings/s"] = task.lanes / float(np.median(together))
        row["loop settings/s"] = task.lanes / float(np.median(loop))
        rows.append(row | benchmark.ratios(loop, together))
    return rows


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    benchmark.run_benchmark("sweep", __name__, __doc__, measure)
