"""Commands that are interrupted: ``python -m experiments.campaigns.interrupts``.

    python -m experiments.campaigns.interrupts --tries=200 --jobs=2

Each try starts a command and sends Ctrl-C once or twice, SIGTERM or SIGHUP at a random
moment, half of the moments right before it makes, renames or removes a file. While the
process stands still it is noted how far it is. Then it must end within the step, with
the signal's status and a line about it, and leave whole files, its result so far, and
nothing temporary (docs/campaigns.md). Before Python has come to the command's first
line, nothing is asked of it.
"""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

from absl import flags

from experiments.campaigns import campaign
from experiments.campaigns.contents import contents, damaged, differences
from experiments.campaigns.trials import MOST_SECONDS

flags.adopt_module_key_flags(campaign)
flags.DEFINE_float("again", 0.3, "Share of the tries that are given again.", 0.0, 1.0)

FLAGS = flags.FLAGS
SIGNALS = (
    *((signal.SIGINT,), (signal.SIGINT, signal.SIGINT)),
    *((signal.SIGTERM,), (signal.SIGHUP,)),
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


def interrupted(attempt: campaign.Attempt) -> campaign.Report:
    """Interrupt a command, and look at what it leaves."""
    draw, trial, whole = attempt.draw, attempt.trial, attempt.whole.contents
    signals, between = draw.choice(SIGNALS), draw.random() * BETWEEN_SECONDS
    again = draw.random() < FLAGS.again
    with attempt.paused() as (process, moment):
        done = f"{' '.join(each.name for each in signals)} {moment}"
        complete = not (unlike := differences(contents(trial.work), whole))
        if process is None:
            return campaign.Report(done, "had ended", unlike)
        begun, before = trial.has_begun(), trial.output()
        for number, signum in enumerate(signals):
            if number:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(between)
            _send(process, signum)
        status = process.wait(MOST_SECONDS)
        found = contents(trial.work)
        new = [
            path
            for path in sorted(found.keys() - whole.keys())
            if UNFINISHED.isdisjoint(Path(path).parts)
        ]
        faults = [f"{path} is left over" for path in (*trial.left_over(), *new)]
        faults += damaged(found)
        if not begun:
            return campaign.Report(done, "before Python ran it", faults)
        said = trial.output().removeprefix(before)
        faults += _faults_of_end(status, 128 + signals[0], said, complete)
        # The bar of the picture itself, where styles are mixed.
        steps = PROGRESS.findall(before.partition("nstjax: preset ")[2])
        if len(signals) == 1 and steps and int(steps[-1]) > 0:
            faults += [
                f"{path} is missing, though a step was made"
                for path in trial.command.results
                if not (trial.work / path).exists()
            ]
        if again and not faults:
            faults = attempt.faults_of_another_start()
        return campaign.Report(done, f"status {status}", faults)


def _send(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send a signal as it comes: a terminal's to all that the command has started."""
    if process.poll() is None:
        if signum is signal.SIGTERM:
            process.send_signal(signum)
        else:
            os.killpg(process.pid, signum)
        process.send_signal(signal.SIGCONT)


def _faults_of_end(status: int, expected: int, said: str, complete: bool) -> list[str]:
    """What is wrong with how a process ended, and with its output since the signal.

    Where everything was ``complete`` when that came it may end as undisturbed.
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
    if (lines := len(PROGRESS.findall(said))) > MOST_PROGRESS:
        faults.append(f"goes on for {lines} lines of its bar")
    return faults


if __name__ == "__main__":
    title = "Commands that were interrupted"
    campaign.run_campaign("interrupts", __name__, __doc__, title, interrupted)
