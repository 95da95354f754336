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

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from nstjax.analysis.sweeps.batch import Batch, prepare_batch
from nstjax.analysis.sweeps.memory import CompiledSweep, compile_sweep
from nstjax.analysis.sweeps.settings import Settings, grid, preset_with
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_network
from nstjax.optimization.steps import run
from nstjax.presets.preset import Preset, customize
from nstjax.presets.published import get_preset
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.problem import Problem, evaluate, make_weights, prepare
from nstjax.runtime.memory import free_before_next_step

USAGE = """
Settings per second of a sweep against a loop of single runs, and its memory.

  python -m experiments.benchmarks.sweep --lanes=64 --size=128
"""

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


class Task(NamedTuple):
    """What is run either way."""

    pictures: tuple[np.ndarray, np.ndarray]
    params: dict
    preset: Preset
    settings: Settings


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit status."""
    if arguments:
        raise InputError("give flags only")
    free_before_next_step()
    preset = customize(
        get_preset(FLAGS.preset),
        optimizer=FLAGS.optimizer,
        size=Size("exact", (FLAGS.size, FLAGS.size)),
        steps=FLAGS.steps,
        pyramid="none",
    )
    betas = preset.beta * np.geomspace(0.1, 10, FLAGS.lanes)
    settings = grid({"beta": betas.tolist()})
    params = load_network(FLAGS.weights).params
    task = Task(demo_pictures(), params, preset, settings)
    if FLAGS.measure:
        print(json.dumps(measured_memory(task)))
        return 0
    if FLAGS.rounds:
        print(f"{FLAGS.lanes} settings of {FLAGS.steps} steps, {FLAGS.size} pixels")
        print(speed_table(task), flush=True)
    for lanes in FLAGS.memory_lanes:
        flags_given = [f"--{name}={FLAGS[name].value}" for name in SHARED_FLAGS]
        command = [sys.executable, "-m", "experiments.benchmarks.sweep", "--measure"]
        done = subprocess.run(
            [*command, f"--lanes={lanes}", *flags_given],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        predicted, measured = json.loads(done.stdout)
        print(
            f"{lanes} at a time: {measured / 1e6:.0f} MB measured, "
            f"{predicted / 1e6:.0f} MB predicted ({predicted / measured - 1:+.1%})",
            flush=True,
        )
    return 0


def speed_table(task: Task) -> str:
    """Settings per second both ways, and their ratio."""
    batch, sweep = compiled(task)
    problem = prepare(task.pictures[0], task.pictures[1:], task.params, task.preset)

    def side_by_side() -> None:
        run_batch(sweep, batch)

    def one_by_one() -> None:
        for setting in task.settings:
            run_alone(problem, preset_with(setting, task.preset))

    ways = {"sweep": side_by_side, "loop": one_by_one}
    for way in ways.values():
        way()
    seconds = [[timed(way) for way in ways.values()] for _ in range(FLAGS.rounds)]
    lines = []
    for clock, index in (("clock", 0), ("processor", 1)):
        rounds = np.array(seconds)[:, :, index]
        rates = task.settings.count / np.median(rounds, axis=0)
        ratios = rounds[:, 1] / rounds[:, 0]
        low, high = np.quantile(ratios, (0.25, 0.75))
        lines.append(
            f"{clock}: sweep {rates[0]:.3g} settings/s, loop {rates[1]:.3g}, ratio "
            f"{statistics.median(ratios):.2f} ({low:.2f}..{high:.2f})"
        )
    return "\n".join(lines)


def run_alone(problem: Problem, preset: Preset) -> None:
    """One setting as ``nstjax.stylize`` runs it, from a copy of the problem's state."""
    state = jax.tree.map(jnp.copy, problem.state)
    data = problem.data._replace(weights=make_weights(preset))
    for state, _ in run(problem.steps, state, data, preset.steps):
        pass
    evaluate(problem._replace(data=data), state)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def measured_memory(task: Task) -> tuple[int, int]:
    """Predicted and measured peak bytes of this process, or of the accelerator."""
    batch, sweep = compiled(task)
    run_batch(sweep, batch)
    stats = jax.devices()[0].memory_stats()
    if stats:
        return sweep.peak_bytes, stats["peak_bytes_in_use"]
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM:"))
    return sweep.peak_bytes, 1024 * int(peak.split()[1])


def compiled(task: Task) -> tuple[Batch, CompiledSweep]:
    """All settings as a batch, and the program for them."""
    content, *styles = task.pictures

    def batch_of(settings: list) -> Batch:
        return prepare_batch(content, styles, task.params, task.preset, settings)

    first = batch_of([task.settings[0]])
    sweep = make_sweep(make_transfer(task.preset), first.axes)
    compiled_sweep = compile_sweep(sweep, first, task.settings.count)
    return batch_of(list(task.settings)), compiled_sweep


if __name__ == "__main__":
    run_command("sweep", __name__, USAGE, main)
