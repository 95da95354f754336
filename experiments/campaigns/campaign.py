"""What both campaigns do: undisturbed runs, many tries, and the table of them."""

import concurrent.futures
import contextlib
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

from experiments.benchmarks.flag_values import whole_numbers
from experiments.benchmarks.tables import print_rows
from experiments.campaigns.commands import chosen
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


class Whole(NamedTuple):
    """What a command does that nobody disturbs.

    Attributes:
      seconds: how long it takes with a cold and a warm cache of compiled programs.
      changes: how often it changes a file.
      contents: what it leaves, see ``experiments.campaigns.contents``.
    """

    seconds: dict[str, float]
    changes: int
    contents: dict[str, str]


class Report(NamedTuple):
    """What came of a try.

    Attributes:
      command: its name.
      done: what was done to it, and when.
      ended: how it ended, a column of the table.
      faults: what ought not to be; none if all is well.
      output: what its last process said.
    """

    command: str
    done: str
    ended: str
    faults: list[str]
    output: str


class Campaign:
    """The commands that are tried, and what they do undisturbed.

    Attributes:
      whole: what each command does that nobody disturbs.
    """

    def __init__(self, folder: Path, pool: concurrent.futures.Executor):
        self._folder = folder
        self._commands = chosen(FLAGS.commands, folder / "inputs")
        wholes = pool.map(self._undisturbed, self._commands)
        self.whole = dict(zip(self._commands, wholes, strict=True))

    @contextlib.contextmanager
    def trial(self, number: int, name: str, cache: str) -> Iterator[Trial]:
        """A fresh folder for a command, with its compiled programs if warm."""
        trial = self._trial(name, f"{number:04}-{name}", cache)
        try:
            yield trial
        finally:
            trial.end()

    def moment(self, draw: random.Random, name: str, cache: str) -> Moment:
        """A random moment of a command, as --moments says."""
        whole = self.whole[name]
        share = {"times": 0.0, "changes": 1.0, "both": 0.5}[FLAGS.moments]
        if draw.random() < share:
            return Moment(change=draw.randint(1, whole.changes))
        # Later ones are likelier: all commands begin alike, with Python's imports.
        return Moment(seconds=1.02 * whole.seconds[cache] * draw.random() ** 0.5)

    def faults_of_another_start(self, trial: Trial, name: str) -> list[str]:
        """Give a command again; how what it leaves differs from an undisturbed one."""
        status = trial.run()
        return [
            *([f"given again, it ends with status {status}"] if status else []),
            *differences(contents(trial.work), self.whole[name].contents),
            *(f"{path} is left over" for path in trial.left_over()),
        ]

    def _trial(self, name: str, folder: str, cache: str) -> Trial:
        path = self._folder / "tries" / folder
        compiled = (self._folder if cache == "warm" else path) / "compiled"
        return Trial(self._commands[name], path, compiled / name)

    def _undisturbed(self, name: str) -> Whole:
        seconds, found = {}, []
        # The first one compiles.
        for cache in ("cold", "warm"):
            trial = self._trial(name, f"{name}-{cache}", "warm")
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


def random_cache(draw: random.Random) -> str:
    """Cold or warm, as --cache says."""
    return draw.choice(("cold", "warm")) if FLAGS.cache == "both" else FLAGS.cache


def run_campaign(title: str, attempt: Callable[[Campaign, int, str], Report]) -> int:
    """Make the tries that the flags ask for; returns the exit status, 1 after faults.

    Args:
      title: of the table.
      attempt: makes the try of a number with a command.
    """
    numbers = whole_numbers("only", 0) if FLAGS.only else range(FLAGS.tries)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder())
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(FLAGS.jobs))
        campaign = Campaign(folder, pool)
        names = list(campaign.whole)

        def guarded(number: int) -> Report:
            name = names[number % len(names)]
            try:
                return attempt(campaign, number, name)
            except subprocess.TimeoutExpired as error:
                return Report(name, f"after {error.timeout} s", "hung", ["hung"], "")

        pending = {pool.submit(guarded, number): number for number in numbers}
        reports = []
        for future in concurrent.futures.as_completed(pending):
            reports.append(future.result())
            _tell(pending[future], reports[-1])
    _print_table(title, names, reports)
    return int(any(report.faults for report in reports))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    if FLAGS.workdir:
        folder = Path(FLAGS.workdir).resolve()
        check_workdir(folder)
        if folder.exists():
            raise InputError(f"{folder} is there already: choose another --workdir")
        yield folder
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(cleaned_up(remove))
        yield folder


def _tell(number: int, report: Report) -> None:
    fault = "".join(f"\n  FAULT: {fault}" for fault in report.faults)
    print(f"{number}: {report.command}, {report.done}: {report.ended}{fault}")
    if report.faults:
        print("".join(f"  | {line}\n" for line in report.output.splitlines()[-30:]))


def _print_table(title: str, names: Sequence[str], reports: Sequence[Report]) -> None:
    rows = []
    columns = sorted({report.ended for report in reports})
    for name in (*names, "all"):
        mine = [report for report in reports if name in (report.command, "all")]
        counts = Counter(report.ended for report in mine)
        rows.append(
            {"command": name, "tries": len(mine)}
            | {column: counts[column] for column in columns}
            | {"with faults": sum(bool(report.faults) for report in mine)}
        )
    print_rows(title, rows)
