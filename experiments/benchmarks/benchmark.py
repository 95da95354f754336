"""What every benchmark does: flags in, work timed in turns, a table and JSON out.

Ratios are taken within a round: a machine that is busy for a while slows both sides.
"""

import contextlib
import json
import multiprocessing
import os
import pkgutil
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from absl import flags
from numpy.typing import ArrayLike

from nstjax import InputError, parse_size
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.io.atomic import atomic_path, check_writable
from nstjax.whole_number import is_whole_number

FLAGS = flags.FLAGS
Name = TypeVar("Name")
WARM_UP_ROUNDS = 2
ROUND_SECONDS = 0.5  # a shorter one is not timed well
# What this module defines belongs to the benchmark that runs.
flags.disclaim_key_flags()


def run_benchmark(
    name: str,
    module: str,
    usage: str | None,
    measure: Callable[..., Any],
    most_arguments: int = 0,
) -> None:
    """Run a command that writes what it measures of its arguments to --output."""
    define_path("output", None, "JSON file for the numbers.")

    def main(arguments: Sequence[str]) -> int:
        no_arguments(arguments[most_arguments:])
        if FLAGS.output:
            check_writable(FLAGS.output)
        write_json(FLAGS.output, measure(*arguments))
        return 0

    run_command(name, module, usage or "", main)


def no_arguments(arguments: Sequence[str]) -> None:
    """Raise ``InputError`` if there are arguments that are no flags."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")


def whole_numbers(flag: str, least: int = 1) -> list[int]:
    """The numbers of a list flag; ``InputError`` unless each is ``least`` or more."""
    texts: Any = FLAGS[flag].value
    good = all(is_whole_number(text) and int(text) >= least for text in texts)
    if not (texts and good):
        raise InputError(
            f"--{flag}={','.join(texts)}: give numbers of {least} or more, with commas"
        )
    return [int(text) for text in texts]


def exact_size(flag: str, text: str) -> tuple[int, int]:
    """Height and width from a flag's WIDTHxHEIGHT."""
    if "x" not in text:
        raise InputError(f"--{flag} has {text!r}: give WIDTHxHEIGHT such as 512x512")
    size = parse_size(text).value
    assert isinstance(size, tuple)
    return size


def timed(work: Callable[[], Any]) -> float:
    """Seconds until what is returned has been computed."""
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def timed_in_turns(
    programs: Mapping[Name, Callable[[], Any]], rounds: int
) -> dict[Name, list[float]]:
    """Seconds of each program, a number a round."""
    seconds: dict[Name, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            seconds[name].append(timed(program))
    return seconds


def ratios(
    seconds: ArrayLike, reference: ArrayLike, name: str = "ratio"
) -> dict[str, Any]:
    """Columns of how long one takes by the other: the rounds' median and quartiles."""
    in_rounds = np.divide(seconds, reference)
    low, median, high = np.quantile(in_rounds, (0.25, 0.5, 0.75)).tolist()
    return {name: median, "quartiles": f"{low:.2f}..{high:.2f}"}


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table: a line for each row, a column for each key."""
    print(f"\n{title}")

    def text(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[text(row.get(key)) for key in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(map(str.rjust, line, widths)), flush=True)


def write_json(path: str | Path | None, numbers: Any) -> None:
    """Write the numbers, if a path is given."""
    if path:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(numbers, indent=2) + "\n")


class Program(NamedTuple):
    """What a worker runs."""

    device: str
    result: Any  # what it gives before it is timed
    run: Callable[[int], None]  # does its work so many times, and waits for the last
    steps: int = 1  # in its work: it is timed by them
    compile_seconds: float | None = None  # with tracing; None if nothing is compiled
    device_peak: Callable[[], int] = lambda: 0  # bytes of an accelerator


class Workers:
    """A process for each program, so that peak memory and thread pools are its own.

    They are given by name: a function of this folder, such as "module.function", which
    makes a program of name and task, and the task. ``firsts`` tells each program's
    device, result and compile seconds.
    """

    def __init__(self, programs: Mapping[str, tuple[str, Any]]):
        share_gpu()
        # The fork server is small: what its parent has does not count.
        context = multiprocessing.get_context("forkserver")
        self.firsts: dict[str, Any] = {}
        self._pipes: dict[str, Connection] = {}
        # One after the other, for compilation is timed.
        for name, (function, task) in programs.items():
            self._pipes[name], end = context.Pipe()
            arguments = (function, name, task, end)
            context.Process(target=_work, args=arguments, daemon=True).start()
            end.close()
            self.firsts[name] = self._told_by(name)

    def measure(self, rounds: int) -> dict[str, tuple[list[float], int]]:
        """Let the programs take turns: seconds of a step by round, and peak bytes."""
        seconds: dict[str, list[float]] = {name: [] for name in self._pipes}
        peaks = {}
        for _ in range(WARM_UP_ROUNDS + rounds):
            for name, pipe in self._pipes.items():
                pipe.send(None)
                each, peaks[name] = self._told_by(name)
                seconds[name].append(each)
        return {name: (seconds[name][WARM_UP_ROUNDS:], peaks[name]) for name in peaks}

    def _told_by(self, name: str) -> Any:
        try:
            return self._pipes[name].recv()
        except (EOFError, ConnectionError):
            sys.exit(f"{name} ended early: see its message above")


def _work(function: str, name: str, task: Any, pipe: Connection) -> None:
    """Time a round whenever the parent asks for one, until its end of the pipe goes."""
    program = pkgutil.resolve_name(f"{__package__}.{function}")(name, task)
    pipe.send(program._replace(run=None, device_peak=None))
    count = 1
    with contextlib.suppress(EOFError):
        while True:
            pipe.recv()
            start = time.perf_counter()
            program.run(count)
            seconds = (time.perf_counter() - start) / count
            peak = program.device_peak() or resident_peak()
            pipe.send((seconds / program.steps, peak))
            count = max(1, round(ROUND_SECONDS / seconds))


def share_gpu() -> None:
    """Leave some of a GPU to other processes; JAX would take most at its start."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def resident_peak() -> int:
    """The most bytes of memory that this process has had."""
    # Unlike getrusage's it does not begin with the parent's.
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return 1024 * int(found[1]) if found else 0
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else 1024 * resident
