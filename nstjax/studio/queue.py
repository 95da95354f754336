"""One run at a time: each is a process of its own, which may die alone."""

import asyncio
import contextlib
import dataclasses
import logging
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nstjax.io.config import CONFIG
from nstjax.io.stored import read_record
from nstjax.studio.jobs import Nine, Painting, arguments, preset_of
from nstjax.studio.pictures import Pictures
from nstjax.studio.runs import RESULT, RESULTS, Progress, Record, Runs
from nstjax.studio.speeds import Speeds

LOGGER = logging.getLogger("nstjax")
PREVIEW_SECONDS = 0.5
CHECKPOINT_STEPS = 20
IN_USE_SECONDS = 60
KILLED = -signal.SIGKILL if hasattr(signal, "SIGKILL") else None
# What an interrupted command exits with, and one that had only begun.
INTERRUPTED = {128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT}
BAR = re.compile(rb"(\d+)/(\d+) ")
ERROR = re.compile(r"nstjax(?:-fast)?: error: (.*)")


@dataclasses.dataclass
class _Running:
    key: str
    process: asyncio.subprocess.Process | None = None
    errors: str = ""
    done: int = 0
    total: int = 0

    def interrupt(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(getattr(signal, "SIGINT", signal.SIGTERM))


class Queue:
    """The runs that wait, and the one that is computed.

    ``changed`` is called with a run's key whenever something is new about it.
    """

    def __init__(
        self,
        runs: Runs,
        pictures: Pictures,
        speeds: Speeds,
        changed: Callable[[str], None],
    ):
        self.runs, self.pictures, self._changed = runs, pictures, changed
        self._speeds = speeds
        self.waiting: list[str] = []
        self._running: _Running | None = None
        self._news = asyncio.Event()
        self._closing = False

    def take_up(self) -> None:
        """Queue what an earlier server was asked for and has not finished."""
        for fault in self.runs.damaged():
            LOGGER.warning("a run is left out: %s", fault)
        for key in self.runs:
            record = self.runs.read(key)
            if record.wish == "run" and not (record.ended or record.error):
                self.add(key)

    def add(self, key: str) -> None:
        """Have a run computed, once those before it have been."""
        if key not in self.waiting and key != self.running:
            self.waiting.append(key)
        self._news.set()
        self._tell_all()

    @property
    def running(self) -> str | None:
        """The run that is computed."""
        return self._running.key if self._running else None

    def state(self, key: str, record: Record) -> str:
        """What a run is doing, in one word."""
        if key == self.running:
            return {"run": "running", "pause": "pausing", "stop": "stopping"}[
                record.wish
            ]
        if key in self.waiting:
            return "queued"
        if record.error:
            return "failed"
        if record.ended:
            return "done"
        return "paused" if record.wish == "pause" else "stopped"

    def progress(self, key: str, record: Record) -> Progress:
        """How far a run has come."""
        if isinstance(record.job, Painting):
            return self.runs.progress(key)
        if self._running and self._running.key == key:
            return Progress(self._running.done, self._running.total)
        return Progress()

    def interrupt(self, key: str) -> None:
        """End a run after its step, or take it out of the queue."""
        if key in self.waiting:
            self.waiting.remove(key)
        elif self._running and self._running.key == key:
            self._running.interrupt()
        self._changed(key)
        self._tell_all()

    async def wait_for(self, key: str) -> None:
        """Wait until a run is not computed any more."""
        while self.running == key:
            await asyncio.sleep(0.05)

    async def work(self) -> None:
        """Compute what waits, for as long as the server runs."""
        while not self._closing:
            if not self.waiting:
                self._news.clear()
                await self._news.wait()
                continue
            key = self.waiting.pop(0)
            self._running = _Running(key)
            try:
                await self._run(self._running)
            except Exception as error:
                # Whatever is wrong with one run, the others are computed.
                self._end(key, error=str(error) or type(error).__name__)
            self._running = None
            self._tell_all()
            self._changed(key)

    async def close(self) -> None:
        """Have the run write its checkpoint; it goes on with the next server."""
        self._closing = True
        if self._running and (process := self._running.process):
            self._running.interrupt()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 20)
            if process.returncode is None:
                process.kill()

    async def _run(self, running: _Running) -> None:
        key = running.key
        record = self.runs.read(key)
        command = self._command(key, record)
        for _ in range(IN_USE_SECONDS):
            running.errors = ""
            running.process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "nstjax.studio.child", *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self._changed(key)
            if self.runs.read(key).wish != "run":
                running.interrupt()
            await self._read_errors(running, process)
            status = await process.wait()
            # A run of a server that was killed takes a moment to end.
            if " is in use by " not in running.errors:
                break
            await asyncio.sleep(1)
        if self._closing:
            return
        if status == 0:
            self._end(key)
            if pace := self.runs.pace(key):
                self._speeds.learn(*pace)
        elif status not in INTERRUPTED and self.runs.read(key).wish == "run":
            self._end(key, error=_why(status, running.errors))

    def _end(self, key: str, error: str = "") -> None:
        with contextlib.suppress(Exception):
            record = self.runs.read(key)
            record.ended, record.error = not error, error
            self.runs.write(key, record)

    def _command(self, key: str, record: Record) -> list[str]:
        folder = self.runs.path(key)
        if isinstance(record.job, Nine):
            return ["nine", str(folder.parents[1]), key]
        given = arguments(record.job, self.pictures)
        if not isinstance(record.job, Painting):
            return [*given, f"--output={folder / RESULTS}/", "--skip_existing"]
        if record.more_steps:
            given += _longer(record, folder)
        return [
            *given,
            f"--workdir={folder}",
            f"--output={folder / RESULT}",
            f"--checkpoint_every={CHECKPOINT_STEPS}",
            f"--preview_seconds={PREVIEW_SECONDS}",
            "--quiet",
            *(["--resume"] if (folder / CONFIG).exists() else []),
        ]

    async def _read_errors(
        self, running: _Running, process: asyncio.subprocess.Process
    ) -> None:
        assert process.stderr is not None
        while block := await process.stderr.read(4096):
            text = block.decode(errors="replace")
            running.errors = (running.errors + text)[-8192:]
            if found := BAR.findall(block):
                running.done, running.total = map(int, found[-1])

    def _tell_all(self) -> None:
        for key in self.waiting:
            self._changed(key)


def _why(status: int, errors: str) -> str:
    """One line for a person, of what a command that failed has said."""
    if status == KILLED:
        return (
            "the run was killed, most likely because memory ran out: choose a smaller "
            "size, or close other programs"
        )
    if found := ERROR.findall(errors):
        return str(found[-1]).strip()
    lines = errors.strip().splitlines()
    return f"the run failed: {lines[-1] if lines else f'exit status {status}'}"


def _longer(record: Record, folder: Path) -> list[str]:
    """The flags that give a run's last scale more steps."""
    assert isinstance(record.job, Painting)
    preset, more = preset_of(record.job), record.more_steps
    settings: dict[str, Any] = read_record(folder / CONFIG, dict, "start again")
    later = len(settings["settings"]["scales"]) - 1
    if not later:
        return [f"--steps={preset.steps + more}"]
    given = preset.pyramid.steps
    steps = [given[min(scale, len(given) - 1)] for scale in range(later)]
    steps[-1] += more
    return [f"--pyramid_steps={','.join(map(str, steps))}"]
