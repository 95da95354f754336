"""Commands that are interrupted: ``python -m experiments.campaigns.interrupts``.

    python -m experiments.campaigns.interrupts --tries=200 --jobs=2

Each try starts a command and sends Ctrl-C once or twice, SIGTERM or SIGHUP at a random
moment, half of the moments right before it makes, renames or removes a file. While the
process stands still it is noted how far it is. Then it must

- end with the status 130, 143 or 129, or as undisturbed if it has nothing left to do,
- say in a line that it was interrupted, and show no traceback,
- go on for no more than the step that it is in,
- leave no temporary file and no process,
- leave a picture, and a checkpoint with --workdir, once it has made a step,
- leave whole files only,
- end, given again, with the bytes of an undisturbed command (in a share of the tries).

Before Python has come to the command's first line, nothing is asked of it.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
from collections.abc import Sequence

from absl import flags

from experiments.benchmarks.flag_values import no_arguments
from experiments.campaigns import campaign as common
from experiments.campaigns.campaign import Campaign, Report, Whole
from experiments.campaigns.contents import contents, damaged, differences
from experiments.campaigns.trials import MOST_SECONDS, Trial
from nstjax.commands.launcher import run_command

USAGE = __doc__ or ""
flags.adopt_module_key_flags(common)
flags.DEFINE_float("again", 0.3, "Share of the tries that are given again.", 0.0, 1.0)

FLAGS = flags.FLAGS
SIGNALS = (
    (signal.SIGINT,),
    (signal.SIGINT, signal.SIGINT),
    (signal.SIGTERM,),
    (signal.SIGHUP,),
)
# The second Ctrl-C comes so long after the first, at most.
BETWEEN_SECONDS = 0.5
CRASHES = ("Traceback (most recent", "Fatal Python error", "Exception ignored")
TOLD = re.compile(r"^\w[\w-]*: .*(interrupt|stopping)", re.MULTILINE)
PROGRESS = re.compile(r"(\d+)/\d+ \[")
# Lines of the bar until the step has ended, the bar is closed and a name has changed.
MOST_PROGRESS = 6
# Folders of what a command has done so far.
UNFINISHED = {"chunks", "checkpoints"}


def attempt(campaign: Campaign, number: int, name: str) -> Report:
    """Interrupt a command, and look at what it leaves."""
    draw = random.Random(f"{FLAGS.seed} {number}")
    cache = common.random_cache(draw)
    signals = draw.choice(SIGNALS)
    whole = campaign.whole[name]
    moment = campaign.moment(draw, name, cache)
    between, again = draw.random() * BETWEEN_SECONDS, draw.random() < FLAGS.again
    done = f"{cache} cache, {' '.join(each.name for each in signals)} {moment}"
    with campaign.trial(number, name, cache) as trial, trial.paused(moment) as process:
        if process is None:
            faults = differences(contents(trial.work), whole.contents)
            return Report(name, done, "had ended", faults, trial.output())
        if moment.change:
            done += f" ({trial.changes()[-1]})"
        begun, before = trial.has_begun(), trial.output()
        complete = not differences(contents(trial.work), whole.contents)
        for signum in signals[:-1]:
            _send(process, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(between)
        _send(process, signals[-1])
        status = process.wait(MOST_SECONDS)
        output = trial.output()
        faults = _faults_of_files(trial, whole)
        if not begun:
            return Report(name, done, "before Python ran it", faults, output)
        faults += _faults_of_end(
            status, 128 + signals[0], output.removeprefix(before), complete
        )
        if len(signals) == 1 and _has_stepped(before):
            faults += [
                f"{path} is missing, though a step was made"
                for path in (trial.command.picture, trial.command.checkpoint)
                if path and not (trial.work / path).exists()
            ]
        if again and not faults:
            faults = campaign.faults_of_another_start(trial, name)
            output += trial.output() if faults else ""
        return Report(name, done, f"status {status}", faults, output)


def _send(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send a signal as it comes: a terminal's to all that the command has started."""
    if process.poll() is None:
        if signum is signal.SIGTERM:
            process.send_signal(signum)
        else:
            os.killpg(process.pid, signum)
        process.send_signal(signal.SIGCONT)


def _has_stepped(output: str) -> bool:
    """Whether the bar tells of a step, of the picture itself where styles are mixed."""
    steps = PROGRESS.findall(output.partition("nstjax: preset ")[2])
    return bool(steps) and int(steps[-1]) > 0


def _faults_of_end(status: int, expected: int, said: str, complete: bool) -> list[str]:
    """What is wrong with how a process ended.

    Args:
      status: of the process.
      expected: the status of its signal.
      said: its output since then.
      complete: whether everything was written when the signal came.
    """
    faults = []
    if status < 0:
        faults.append(f"ended by {signal.Signals(-status).name}")
    elif status == 0 and not complete:
        faults.append("the signal is swallowed: status 0")
    elif status not in (0, expected):
        faults.append(f"status {status}, not {expected}")
    if status and not TOLD.search(said):
        faults.append("no line tells of the interrupt")
    faults += [f"shows {crash!r}" for crash in CRASHES if crash in said]
    if len(PROGRESS.findall(said)) > MOST_PROGRESS:
        faults.append(f"goes on for {len(PROGRESS.findall(said))} lines of its bar")
    return faults


def _faults_of_files(trial: Trial, whole: Whole) -> list[str]:
    """What is wrong with what an interrupted command leaves."""
    found = contents(trial.work)
    faults = [f"{path} is left over" for path in trial.left_over()] + damaged(found)
    for name in sorted(found):
        if name not in whole.contents and not UNFINISHED & set(name.split(os.sep)):
            faults.append(f"{name} is left over")
    return faults


def main(arguments: Sequence[str]) -> int:
    """Interrupt and look; returns the exit status."""
    no_arguments(arguments)
    return common.run_campaign("Commands that were interrupted", attempt)


if __name__ == "__main__":
    run_command("interrupts", __name__, USAGE, main)
