"""What both campaigns do: undisturbed runs, many tries, and the table of them."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments.benchmarks.benchmark import no_arguments, print_rows, whole_numbers
from experiments.campaigns.commands import Command, chosen
from experiments.campaigns.contents import contents, differences
from experiments.campaigns.trials import Moment, Trial
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_workdir
from nstjax.runtime.interrupts import cleaned_up

flags.DEFINE_integer("tries", 40, "How many.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of what is tried and when.")
flags.DEFINE_list("commands", None, "Some of the commands; all if not given.")
flags.DEFINE_integer("jobs", 1, "Tries at a time.", lower_bound=1)
flags.DEFINE_list("only", None, "Numbers of tries, to repeat them.")
flags.DEFINE_enum(
    "cache",
    "both",
    ("cold", "warm", "both"),
    "Whether compiled programs are cached; both: at random.",
)
flags.DEFINE_enum(
    "moments",
    "both",
    ("times", "changes", "both"),
    "At any time, right before a file is changed, or either at random.",
)
define_path(
    "workdir", None, "Folder for everything, which is kept; else a temporary one."
)

FLAGS = flags.FLAGS
SHARE_OF_CHANGES = {"times": 0.0, "changes": 1.0, "both": 0.5}


class Whole(NamedTuple):
    """What a command does that nobody disturbs."""

    seconds: dict[str, float]  # with a cold and a warm cache of compiled programs
    changes: int  # how often it changes a file
    contents: dict[str, str]  # what it leaves


class Report(NamedTuple):
    """What came of a try."""

    done: str  # what was done to the command, and when
    ended: str  # how it ended, a column of the table
    faults: list[str]  # what ought not to be
    output: str  # what its last process said


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A command that is about to be tried."""

    draw: random.Random  # decides, by the try's number
    cache: str  # of compiled programs, cold or warm
    trial: Trial
    whole: Whole

    def moment(self) -> Moment:
        """A random one, as --moments says."""
        if self.draw.random() < SHARE_OF_CHANGES[FLAGS.moments]:
            return Moment(change=self.draw.randint(1, self.whole.changes))
        # Later ones are likelier: all commands begin alike, with Python's imports.
        share = 1.02 * self.draw.random() ** 0.5
        return Moment(seconds=self.whole.seconds[self.cache] * share)

    def faults_of_another_start(self) -> list[str]:
        """Give the command again; how it differs from an undisturbed one."""
        status = self.trial.run()
        return [
            *([f"given again, it ends with status {status}"] if status else []),
            *differences(contents(self.trial.work), self.whole.contents),
            *(f"{path} is left over" for path in self.trial.left_over()),
        ]


def run_campaign(
    arguments: Sequence[str], title: str, tried: Callable[[Attempt], Report]
) -> int:
    """Make the tries of the flags; returns the exit status, 1 after faults."""
    no_arguments(arguments)
    numbers = whole_numbers("only", 0) if FLAGS.only else range(FLAGS.tries)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder())
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(FLAGS.jobs))
        commands = chosen(FLAGS.commands, folder / "inputs")
        names = list(commands)

        def undisturbed(name: str) -> Whole:
            return _undisturbed(name, commands[name], folder)

        wholes = dict(zip(names, pool.map(undisturbed, names), strict=True))

        def report(number: int) -> Report:
            name = names[number % len(names)]
            draw = random.Random(f"{FLAGS.seed} {number}")
            both = FLAGS.cache == "both"
            cache = draw.choice(("cold", "warm")) if both else FLAGS.cache
            trial = _trial(name, commands[name], folder, f"{number:04}-{name}", cache)
            try:
                return tried(Attempt(draw, cache, trial, wholes[name]))
            except subprocess.TimeoutExpired as error:
                return Report(f"after {error.timeout} s", "hung", ["hung"], "")
            finally:
                trial.end()

        pending = {pool.submit(report, number): number for number in numbers}
        reports: list[tuple[str, Report]] = []
        for future in concurrent.futures.as_completed(pending):
            number = pending[future]
            reports.append((names[number % len(names)], future.result()))
            _tell(number, *reports[-1])
    _print_table(title, names, reports)
    return int(any(report.faults for _, report in reports))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    if FLAGS.workdir:
        folder = Path(FLAGS.workdir).resolve()
        check_workdir(folder)
        if folder.exists():
            raise InputError(f"{folder} is there already: choose another --workdir")
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        with cleaned_up(functools.partial(shutil.rmtree, folder, ignore_errors=True)):
            yield folder


def _trial(name: str, command: Command, folder: Path, tried: str, cache: str) -> Trial:
    """A fresh folder for a command, with its compiled programs if warm."""
    path = folder / "tries" / tried
    compiled = (folder if cache == "warm" else path) / "compiled"
    return Trial(command, path, compiled / name)


def _undisturbed(name: str, command: Command, folder: Path) -> Whole:
    seconds, found = {}, []
    # The first one compiles.
    for cache in ("cold", "warm"):
        trial = _trial(name, command, folder, f"{name}-{cache}", "warm")
        started = time.monotonic()
        status = trial.run()
        seconds[cache] = time.monotonic() - started
        found.append(contents(trial.work))
        if status or trial.left_over():
            raise InputError(
                f"{name} ended with status {status} and left {trial.left_over()}: "
                f"{trial.output()}"
            )
    if unlike := differences(*found):
        raise InputError(f"{name} is not reproducible: {'; '.join(unlike)}")
    changes = len(trial.changes())
    print(
        f"{name}: {seconds['cold']:.1f} s, {seconds['warm']:.1f} s with compiled "
        f"programs, {changes} changes of files",
        flush=True,
    )
    return Whole(seconds, changes, found[-1])


def _tell(number: int, name: str, report: Report) -> None:
    fault = "".join(f"\n  FAULT: {fault}" for fault in report.faults)
    print(f"{number}: {name}, {report.done}: {report.ended}{fault}")
    if report.faults:
        print("".join(f"  | {line}\n" for line in report.output.splitlines()[-30:]))


def _print_table(
    title: str, names: Sequence[str], reports: Sequence[tuple[str, Report]]
) -> None:
    rows = []
    columns = sorted({report.ended for _, report in reports})
    for name in (*names, "all"):
        mine = [report for tried, report in reports if name in (tried, "all")]
        counts = Counter(report.ended for report in mine)
        rows.append(
            {"command": name, "tries": len(mine)}
            | {column: counts[column] for column in columns}
            | {"with faults": sum(bool(report.faults) for report in mine)}
        )
    print_rows(title, rows)
