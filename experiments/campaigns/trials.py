"""A command in a folder of its own, started once or several times, and stood still."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.campaigns.commands import Command
from nstjax.runtime.interrupts import cleaned_up

ROOT = Path(__file__).resolve().parents[2]
WATCHING = Path(__file__).resolve().parent / "watching"
# Nothing takes as long on any machine: what has not ended by then hangs.
MOST_SECONDS = 900.0
# Processes that were told to end may take as long.
ENDING_SECONDS = 20.0
# The bar is written at each step, so that the output tells how far the command is.
EVERY_STEP = {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1", "PYTHONUNBUFFERED": "1"}


class Trial:
    """A command, started once or several times in ``work``, a folder of its own."""

    def __init__(self, command: Command, folder: Path, compiled: Path):
        self.command = command
        self.files = folder / "files"
        self.work = self.files / "work"
        self._log = folder / "changes.log"
        self._output = folder / "output.txt"
        self._temporary = self.files / "temporary"
        self._environment = {
            **os.environ,
            **EVERY_STEP,
            "PYTHONPATH": f"{WATCHING}{os.pathsep}{ROOT}",
            "TMPDIR": str(self._temporary),
            "MPLCONFIGDIR": str(compiled / "matplotlib"),
            "JAX_COMPILATION_CACHE_DIR": str(compiled / "programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for path in (self.work, self._temporary, compiled):
            path.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _started(self, stop: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        self._log.unlink(missing_ok=True)
        watching = f"{self._log}\n{self.files}\n{stop}"
        with open(self._output, "ab") as output:
            process = subprocess.Popen(
                [sys.executable, *self.command.given_in(self.work)],
                cwd=self.work,
                env={**self._environment, "NSTJAX_CAMPAIGN": watching},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with cleaned_up(process.kill):
                yield process
        finally:
            process.kill()
            process.wait()

    def run(self) -> int:
        """Give the command, and let it come to its end; returns its status."""
        with self._started() as process:
            return process.wait(MOST_SECONDS)

    @contextlib.contextmanager
    def paused(
        self, seconds: float = math.inf, change: int = 0
    ) -> Iterator[subprocess.Popen[bytes] | None]:
        """Give the command: its process as it stands still; None if it ended before.

        It does so after some seconds, or right before a file's change of that number.
        """
        with self._started(change) as process:
            started = time.monotonic()
            waiting = os.WNOHANG | os.WUNTRACED
            while not (told := os.waitpid(process.pid, waiting))[0]:
                passed = time.monotonic() - started
                if passed >= seconds:
                    # Not by the process, which would look whether it has ended.
                    os.kill(process.pid, signal.SIGSTOP)
                if passed > MOST_SECONDS:
                    raise subprocess.TimeoutExpired(process.args, passed)
                time.sleep(0.002)
            status = told[1]
            if os.WIFSTOPPED(status):
                yield process
            else:
                process.returncode = os.waitstatus_to_exitcode(status)
                yield None

    def changes(self) -> list[str]:
        """The changes of files that the process has made, and is about to make."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def has_begun(self) -> bool:
        """Whether Python has run the command's first line."""
        return self._log.exists()

    def output(self) -> str:
        """What its processes have written to standard output and error."""
        return self._output.read_text(errors="replace")

    def left_over(self) -> list[str]:
        """Temporary files and folders, and processes that do not end."""
        deadline = time.monotonic() + ENDING_SECONDS
        while (processes := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        paths = sorted((*self.work.rglob(".*"), *self._temporary.glob("*")))
        names = [str(path.relative_to(self.files)) for path in paths]
        return names + [f"a process of {name}" for name in processes.values()]

    def end(self) -> None:
        """Kill the processes that are left over."""
        for number in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def _processes(self) -> dict[int, str]:
        """The processes whose temporary files go to this trial, where Linux tells."""
        mine = f"TMPDIR={self._temporary}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    command = (process / "cmdline").read_bytes().split(b"\0")
                    found[int(process.name)] = os.fsdecode(command[0])
        return found
