"""Programs that take turns at being timed, each in a process of its own.

So a program's peak memory is its own and no thread pool disturbs another. Ratios are
taken within a round: a machine that is busy for a while slows both sides of a ratio.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

WARM_UP_ROUNDS = 2
ROUND_SECONDS = 0.5  # a shorter one is not timed well


class First(NamedTuple):
    """What an implementation gives before it is timed."""

    device: str
    result: Any
    compile_seconds: float | None = None  # with tracing; None if nothing is compiled


class Program(NamedTuple):
    """What a worker runs."""

    first: First
    run: Callable[[int], None]  # does its work so many times, and waits for the last
    steps: int = 1  # in its work: it is timed by them
    device_peak: Callable[[], int] = lambda: 0  # bytes of an accelerator


class Workers:
    """A process for each program, of which ``firsts`` are told by name."""

    def __init__(
        self, program_of: Callable[[str, Any], Program], tasks: Mapping[str, Any]
    ):
        share_gpu()
        # The fork server is small: what its parent has does not count.
        context = multiprocessing.get_context("forkserver")
        self.firsts: dict[str, First] = {}
        self._pipes: dict[str, Connection] = {}
        # One after the other, for compilation is timed.
        for name, task in tasks.items():
            self._pipes[name], end = context.Pipe()
            arguments = (program_of, name, task, end)
            context.Process(target=_work, args=arguments, daemon=True).start()
            end.close()
            self.firsts[name] = self._told_by(name)

    def measure(self, rounds: int) -> dict[str, tuple[list[float], int]]:
        """Let the programs take turns: seconds of a step by round, and peak bytes."""
        seconds: dict[str, list[float]] = {name: [] for name in self._pipes}
        peaks = {}
        for _ in range(WARM_UP_ROUNDS + rounds):
            for name in self._pipes:
                self._pipes[name].send(None)
                each, peaks[name] = self._told_by(name)
                seconds[name].append(each)
        return {
            name: (taken[WARM_UP_ROUNDS:], peaks[name])
            for name, taken in seconds.items()
        }

    def _told_by(self, name: str) -> Any:
        try:
            return self._pipes[name].recv()
        except (EOFError, ConnectionError):
            sys.exit(f"{name} ended early: see its message above")


def _work(
    program_of: Callable[[str, Any], Program], name: str, task: Any, pipe: Connection
) -> None:
    """Time a round whenever the parent asks for one, until its end of the pipe goes."""
    program = program_of(name, task)
    pipe.send(program.first)
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
