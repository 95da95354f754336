"""What both campaigns do: undisturbed runs, many tries, and the table of them."""

import concurrent.futures
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments.benchmarks.tables import print_rows
from experiments.campaigns.commands import chosen
from experiments.campaigns.contents import contents, differences
from experiments.campaigns.trials import Trial
from nstjax.errors import InputError

# What this module defines belongs to the launcher that asks for it.
flags.disclaim_key_flags()
FLAGS = flags.FLAGS


class Whole(NamedTuple):
    """What a command does that nobody disturbs.

    Attributes:
      seconds: how long it takes with a cold and a warm cache of compiled programs.
      changes: how often it changes a file.
      work: the folder in which it was started.
      contents: what it leaves there, see ``experiments.campaigns.contents``.
    """

    seconds: dict[str, float]
    changes: int
    work: Path
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

    def __init__(self, folder: Path):
        self._folder = folder
        self._commands = chosen(FLAGS.commands, folder / "inputs")
        self.whole = {name: self._undisturbed(name) for name in self._commands}

    @contextlib.contextmanager
    def trial(self, number: int, name: str, cache: str) -> Iterator[Trial]:
        """A fresh folder for a command, with its compiled programs if warm."""
        trial = self._trial(name, f"{number:04}-{name}", cache)
        try:
            yield trial
        finally:
            trial.end()

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
        return Whole(seconds, changes, trial.work, found[-1])


def define_flags(tries: int) -> None:
    """Define the flags of a campaign."""
    flags.DEFINE_integer("tries", tries, "How many.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of what is tried and when.")
    flags.DEFINE_list("commands", None, "Some of the commands; all if not given.")
    flags.DEFINE_integer("jobs", 1, "Tries at a time.", lower_bound=1)
    flags.DEFINE_list("only", None, "Numbers of tries, to repeat them.")
    flags.DEFINE_string(
        "workdir", None, "Folder for everything, which is kept; else a temporary one."
    )


def run_campaign(title: str, attempt: Callable[[Campaign, int, str], Report]) -> int:
    """Make the tries that the flags ask for; returns the exit status, 1 after faults.

    Args:
      title: of the table.
      attempt: makes the try of a number with a command.
    """
    numbers = [int(text) for text in FLAGS.only or range(FLAGS.tries)]
    with contextlib.ExitStack() as stack:
        if FLAGS.workdir:
            folder = Path(FLAGS.workdir).resolve()
            shutil.rmtree(folder / "tries", ignore_errors=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        campaign = Campaign(folder)
        names = list(campaign.whole)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(FLAGS.jobs))
        pending = {
            pool.submit(attempt, campaign, number, names[number % len(names)]): number
            for number in numbers
        }
        reports = []
        for future in concurrent.futures.as_completed(pending):
            reports.append(future.result())
            _tell(pending[future], reports[-1])
    _print_table(title, names, reports)
    return int(any(report.faults for report in reports))


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
