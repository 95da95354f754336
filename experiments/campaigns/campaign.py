"""What both campaigns do: undisturbed runs, many tries, and the table of them."""

import concurrent.futures
import contextlib
import functools
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from absl import flags

from experiments.benchmarks.benchmark import no_arguments, print_rows, whole_numbers
from experiments.campaigns.commands import chosen
from experiments.campaigns.contents import contents, differences
from experiments.campaigns.trials import Trial
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_workdir
from nstjax.runtime.interrupts import cleaned_up

flags.DEFINE_integer("tries", 40, "How many.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of what is tried and when.")
flags.DEFINE_list("commands", None, "Some of the commands; all if not given.")
flags.DEFINE_integer("jobs", 1, "Tries at a time.", lower_bound=1)
flags.DEFINE_list("only", None, "Numbers of tries, to repeat them.")
CACHES = ("cold", "warm")
SHARE_OF_CHANGES = {"times": 0.0, "changes": 1.0, "both": 0.5}
flags.DEFINE_enum(
    *("cache", "both", [*CACHES, "both"]),
    "Whether compiled programs are cached; both: at random.",
)
flags.DEFINE_enum(
    *("moments", "both", list(SHARE_OF_CHANGES)),
    "At any time, right before a file is changed, or either at random.",
)
define_path("workdir", None, "Folder for everything, kept; else a temporary one.")

FLAGS = flags.FLAGS


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


class Attempt(NamedTuple):
    """A command that is about to be tried."""

    draw: random.Random  # decides, by the try's number
    cache: str  # of compiled programs, cold or warm
    trial: Trial
    whole: Whole

    @contextlib.contextmanager
    def paused(self) -> Iterator[tuple[subprocess.Popen[bytes] | None, str]]:
        """Give the command: its process as it stands still, or None, and when."""
        if self.draw.random() < SHARE_OF_CHANGES[FLAGS.moments]:
            change = self.draw.randint(1, self.whole.changes)
            with self.trial.paused(change=change) as process:
                what = self.trial.changes()[-1] if process else "that never came"
                yield process, f"before change {change} of a file ({what})"
        else:
            # Later ones are likelier: all commands begin alike, with Python's imports.
            share = 1.02 * self.draw.random() ** 0.5
            seconds = self.whole.seconds[self.cache] * share
            with self.trial.paused(seconds) as process:
                yield process, f"after {seconds:.2f} s"

    def faults_of_another_start(self) -> list[str]:
        """Give the command again; how it differs from an undisturbed one."""
        status = self.trial.run()
        return [
            *([f"given again, it ends with status {status}"] if status else []),
            *differences(contents(self.trial.work), self.whole.contents),
            *(f"{path} is left over" for path in self.trial.left_over()),
        ]


def run_campaign(
    name: str,
    module: str,
    usage: str | None,
    title: str,
    tried: Callable[[Attempt], Report],
) -> None:
    """Run a command that makes the tries of the flags; its status is 1 after faults."""

    def main(arguments: Sequence[str]) -> int:
        no_arguments(arguments)
        with _folder() as folder:
            reports = list(_reports(folder, tried))
        rows = []
        for command in (*dict.fromkeys(name for name, _ in reports), "all"):
            mine = [told for name, told in reports if command in (name, "all")]
            row = {"command": command, "tries": len(mine)}
            for ended in sorted({told.ended for _, told in reports}):
                row[ended] = sum(told.ended == ended for told in mine)
            rows.append(row | {"with faults": sum(bool(told.faults) for told in mine)})
        print_rows(title, rows)
        return int(any(told.faults for _, told in reports))

    run_command(name, module, usage or "", main)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    if FLAGS.workdir:
        folder = Path(FLAGS.workdir).resolve()
        check_workdir(folder)
        if folder.exists():
            raise InputError(f"{folder} is there already: choose another --workdir")
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        with cleaned_up(functools.partial(shutil.rmtree, folder, ignore_errors=True)):
            yield folder


def _reports(
    folder: Path, tried: Callable[[Attempt], Report]
) -> Iterator[tuple[str, Report]]:
    """What came of each try, with the command's name, printed as it is made."""
    numbers = whole_numbers("only", 0) if FLAGS.only else range(FLAGS.tries)
    commands = chosen(FLAGS.commands, folder / "inputs")
    names = list(commands)

    def trial_of(name: str, tried: str, cache: str) -> Trial:
        path = folder / "tries" / tried
        compiled = (folder if cache == "warm" else path) / "compiled" / name
        return Trial(commands[name], path, compiled)

    def undisturbed(name: str) -> Whole:
        # The first one compiles, for the cache that is warm from then on.
        return _undisturbed(
            name, [trial_of(name, f"{name}-{cache}", "warm") for cache in CACHES]
        )

    def report(number: int) -> tuple[str, Report, str]:
        name = names[number % len(names)]
        draw = random.Random(f"{FLAGS.seed} {number}")
        cache = draw.choice(CACHES) if FLAGS.cache == "both" else FLAGS.cache
        trial = trial_of(name, f"{number:04}-{name}", cache)
        try:
            told = tried(Attempt(draw, cache, trial, wholes[name]))
        except subprocess.TimeoutExpired as error:
            told = Report(f"after {error.timeout} s", "hung", ["hung"])
        finally:
            trial.end()
        text = f"{number}: {name}, {cache} cache, {told.done}: {told.ended}"
        text += "".join(f"\n  FAULT: {fault}" for fault in told.faults)
        if told.faults:
            lines = trial.output().splitlines()[-30:]
            text += "".join(f"\n  | {line}" for line in lines) + "\n"
        return name, told, text

    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        wholes = dict(zip(names, pool.map(undisturbed, names), strict=True))
        for name, told, text in pool.map(report, numbers):
            print(text)
            yield name, told


def _undisturbed(name: str, trials: Sequence[Trial]) -> Whole:
    seconds, found = {}, []
    for cache, trial in zip(CACHES, trials, strict=True):
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
    changes = len(trials[-1].changes())
    print(
        f"{name}: {seconds['cold']:.1f} s, {seconds['warm']:.1f} s with compiled "
        f"programs, {changes} changes of files"
    )
    return Whole(seconds, changes, found[-1])
