"""What every benchmark does: flags in, work timed in turns, a table and JSON out."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

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
