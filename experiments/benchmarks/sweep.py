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

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.workers import resident_peak
from nstjax import Params, Preset, Size, customize, get_preset, run
from nstjax.analysis.sweeps.batch import Batch, prepare_batch
from nstjax.analysis.sweeps.memory import compile_sweep
from nstjax.analysis.sweeps.settings import Settings, grid, preset_with
from nstjax.analysis.sweeps.sweep import CompiledSweep, make_sweep, run_batch
from nstjax.commands.path_flags import define_path
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_network
from nstjax.problem.compiled_transfer import make_transfer
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
flags.DEFINE_boolean("measure", False, "Measure the memory of --lanes in this process.")

FLAGS = flags.FLAGS
SHARED_FLAGS = ("size", "steps", "preset", "optimizer", "weights")


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
    if FLAGS.measure:
        batch, sweep = compiled(preset)
        run_batch(sweep, batch)
        stats = jax.devices()[0].memory_stats()
        peak = stats["peak_bytes_in_use"] if stats else resident_peak()
        print(json.dumps([sweep.peak_bytes, peak]))
        return {}
    rates = speeds(preset) if FLAGS.rounds else []
    if rates:
        title = f"{FLAGS.lanes} settings of {FLAGS.steps} steps, {FLAGS.size} pixels"
        benchmark.print_rows(title, rates)
    given = [f"--{name}={FLAGS[name].value}" for name in SHARED_FLAGS]
    rows = []
    for lanes in benchmark.whole_numbers("memory_lanes") if FLAGS.memory_lanes else ():
        command = [sys.executable, "-m", "experiments.benchmarks.sweep", "--measure"]
        command = [*command, f"--lanes={lanes}", *given]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        predicted, measured = json.loads(done.stdout)
        row = {"predicted MB": predicted / 1e6, "measured MB": measured / 1e6}
        rows.append({"at a time": lanes, **row, "error": predicted / measured - 1})
    if rows:
        benchmark.print_rows("Peak memory", rows)
    return {"speed": rates, "memory": rows}


def speeds(preset: Preset) -> list[dict[str, Any]]:
    """Settings per second both ways and their ratio, by clock and by processor."""
    pictures, params, settings = inputs(preset)
    batch, sweep = compiled(preset)
    problem = prepare(pictures[0], pictures[1:], params, preset)

    def one_by_one() -> None:
        """As ``nstjax.stylize`` runs them, each from a copy of the problem's state."""
        for setting in settings:
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
        row["sweep settings/s"] = settings.count / float(np.median(together))
        row["loop settings/s"] = settings.count / float(np.median(loop))
        rows.append(row | benchmark.ratios(loop, together))
    return rows


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def inputs(preset: Preset) -> tuple[tuple[np.ndarray, np.ndarray], Params, Settings]:
    """Pictures that nstjax brings, the network, and settings that differ in beta."""
    betas = preset.beta * np.geomspace(0.1, 10, FLAGS.lanes)
    params = load_network(FLAGS.weights).params
    return demo_pictures(), params, grid({"beta": betas.tolist()})


def compiled(preset: Preset) -> tuple[Batch, CompiledSweep]:
    """All settings as a batch, and the program for them, which is compiled first."""
    (content, style), params, settings = inputs(preset)
    batch_of = functools.partial(prepare_batch, content, [style], params, preset)
    first = batch_of([settings[0]])
    sweep = make_sweep(make_transfer(preset), first.axes)
    fitted = compile_sweep(sweep, first, settings.count)
    return batch_of(list(settings)), fitted


if __name__ == "__main__":
    benchmark.run_benchmark("sweep", __name__, __doc__, measure)
