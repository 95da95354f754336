"""Runs a command in this process and logs which files it changes.

    python -m experiments.campaigns.watched LOG FOLDER STOP TARGET ARGUMENTS...

LOG is made by the first line that Python runs, and gets a line before each change of a
file in FOLDER. Before the change of number STOP, 0 for none, the process stops itself, so
that others can look at it. TARGET is a module, run as ``python -m`` runs it, or
MODULE:FUNCTION, called as a console script calls it. Changes by C code are not seen.
"""

import os
import sys

LOG = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

import importlib  # noqa: E402
import itertools  # noqa: E402
import runpy  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
from typing import Any  # noqa: E402

CHANGES = {
    "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate",
}  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(folder: str, stop: int) -> None:
    """Log each change of a file in the folder, and stop before one of them."""
    numbers = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITING:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, int):
            return
        name = os.path.abspath(os.fsdecode(path))
        if not name.startswith(folder):
            return
        os.write(LOG, f"{event} {name[len(folder) :]}\n".encode())
        if next(numbers) == stop:
            # To this thread, which therefore does not come to make the change.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    sys.addaudithook(hook)


def main() -> None:
    """Do what the arguments say."""
    _, _, folder, stop, target, *arguments = sys.argv
    watch(folder + os.sep, int(stop))
    sys.argv = [target, *arguments]
    module, _, function = target.partition(":")
    if function:
        sys.exit(getattr(importlib.import_module(module), function)())
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
