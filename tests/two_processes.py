"""Programs, one after the other, in each of two processes that work together.

    two_processes.fork(JOBS)

Joining and importing take seconds: here they are done once for all programs.
"""

import json
import logging
import os
import pathlib
import runpy
import signal
import sys
import threading
import time

import jax
from programs import process_kept

# Not for the first time by a program, whose signals then were this process's for good.
import nstjax  # noqa: F401


def main(number: int, path: pathlib.Path) -> None:
    """Run the jobs; tells of each in a file beside theirs."""
    initialize = jax.distributed.initialize

    def initialize_once(*arguments, **options):
        if not jax.distributed.is_initialized():
            initialize(*arguments, **options)

    jax.distributed.initialize = initialize_once
    if number == 0:
        from nstjax.analysis import figures

        # What figures look like has tests of its own.
        figures.save_figure = lambda figure, path: path.touch()
    jobs = json.loads(path.read_text())
    for name, job in jobs.items():
        os.chdir(path.parent / name)
        texts = [path.parent / f"{name}.{number}.{end}" for end in ("out", "err")]
        for descriptor, text in enumerate(texts, 1):
            with open(text, "wb") as file:
                os.dup2(file.fileno(), descriptor)
        arguments = [*job["arguments"], f"--process_id={number}"]
        arguments += job["second"] if number == 1 else []
        if job["signal"] and number == 1:
            threading.Thread(target=end_after_rows, daemon=True).start()
        with process_kept():
            logging.getLogger("nstjax").setLevel(logging.NOTSET)
            status = run(job["module"], arguments)
        sys.stdout.flush()
        (path.parent / f"{name}.{number}.status").write_text(f"{status}")


def run(module: str, arguments: list[str]) -> int | str | None:
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return 0


def end_after_rows() -> None:
    """Send this process a signal when the other one has gone on."""
    metrics = pathlib.Path("run/metrics.jsonl")
    while metrics.read_text().count("\n") < 6:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def fork(path: pathlib.Path) -> None:
    """Become the first process, and start the second one."""
    other = os.fork()
    if not other:
        main(1, path)
        sys.exit()
    main(0, path)
    # Each waits here for the other one.
    jax.distributed.shutdown()
    _, status = os.waitpid(other, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
