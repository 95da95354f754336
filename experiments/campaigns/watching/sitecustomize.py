"""Runs before a command that a campaign starts, and logs which files it changes.

Python imports it from the folder that ``experiments.campaigns.trials`` puts in its
path. NSTJAX_CAMPAIGN has three lines: a log, which is made as the last thing before
Python runs the command; a folder; and a number. The log gets a line before each change
of a file in the folder. Before the change of that number, 0 for none, the process stops
itself, so that others can look at it. Changes by C code are not seen.
"""

import itertools
import os
import signal
import sys
import threading
from typing import Any

CHANGES = {
    "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(log_path: str, folder: str, stop: int) -> None:
    """Log each change of a file in the folder, and stop before one of them."""
    numbers = itertools.count(1)
    prefix = folder + os.sep
    log = -1

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES and not (event == "open" and arguments[2] & WRITING):
            return
        path = arguments[0]
        name = "" if isinstance(path, int) else os.path.abspath(os.fsdecode(path))
        if not name.startswith(prefix):
            return
        os.write(log, f"{event} {name.removeprefix(prefix)}\n".encode())
        if next(numbers) == stop:
            # To this thread, which therefore does not come to make the change.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    sys.addaudithook(hook)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


# Not for the processes that the command itself starts.
if campaign := os.environ.pop("NSTJAX_CAMPAIGN", None):
    # nohup and shells have their background jobs ignore signals.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    the_log, the_folder, number = campaign.splitlines()
    watch(the_log, the_folder, int(number))
