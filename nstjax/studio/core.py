"""What the server knows and does between requests: its folder, queue and workers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette

from nstjax.errors import InputError
from nstjax.studio.pictures import Pictures
from nstjax.studio.queue import Queue
from nstjax.studio.runs import Runs
from nstjax.studio.speeds import Speeds
from nstjax.studio.worker_client import Worker

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 15
# Heights and widths of most photos and paintings as they are looked at.
WARM = [
    *[("photo", *size) for size in ((372, 496), (496, 372))],
    *[("painting", *size) for size in ((372, 496), (496, 372), (434, 496), (496, 434))],
    *[("photo", *size) for size in ((180, 240), (240, 180), (496, 496), (240, 240))],
    *[("painting", *size) for size in ((310, 496), (496, 310))],
]


class Studio:
    """What the server knows: its folder, its queue and its worker."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pictures = Pictures(folder / "pictures")
        self.runs = Runs(folder / "runs")
        self.looks = folder / "looks"
        self.speeds = Speeds(folder / "speeds.json")
        self.worker = Worker()
        # So that a picture is there at once, whatever the other one computes.
        self.reader = Worker()
        self.queue = Queue(self.runs, self.pictures, self.speeds, self.changed)
        self._listeners: set[asyncio.Queue[str | None]] = set()

    def changed(self, key: str) -> None:
        """Tell every page that something is new about a run."""
        for listener in self._listeners:
            listener.put_nowait(key)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Work for as long as the server runs."""
        del app
        for path in (self.pictures.folder, self.runs.folder, self.looks):
            path.mkdir(parents=True, exist_ok=True)
        self.pictures.remove_unfinished()
        self.queue.take_up()
        tasks = [
            asyncio.create_task(each)
            for each in (self.queue.work(), self._watch(), self._warm_up())
        ]
        try:
            yield
        finally:
            for task in tasks[1:]:
                task.cancel()
            await self.queue.close()
            tasks[0].cancel()
            await self.end_answers()

    def run(self, key: str) -> dict[str, Any]:
        """What the page is told of a run."""
        record = self.runs.read(key)
        state, progress = (
            self.queue.state(key, record),
            self.queue.progress(key, record),
        )
        preview = self.runs.preview(key)
        with contextlib.suppress(FileNotFoundError):
            return {
                "key": key,
                "state": state,
                "place": self.queue.waiting.index(key) + bool(self.queue.running)
                if state == "queued"
                else 0,
                "job": msgspec.to_builtins(record.job),
                "created": record.created,
                "error": record.error,
                **msgspec.to_builtins(progress),
                "preview": preview.stat().st_mtime_ns if preview else None,
                "results": [path.name for path in self.runs.results(key)],
            }
        return self.run(key)

    def result_name(self, path: Path) -> str:
        """What a result is called outside: by its photo, not by the photo's id."""
        key = path.stem.partition("_")[0]
        if key in self.pictures:
            return f"{Path(self.pictures[key].name).stem}-stylized"
        return path.stem

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: every run first, then each that has changed."""
        listener: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            runs = [self.run(key) for key in self.runs]
            yield f"event: runs\ndata: {json.dumps(runs)}\n\n"
            while True:
                try:
                    waiting = asyncio.wait_for(listener.get(), HEARTBEAT_SECONDS)
                    keys = {await waiting}
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                while not listener.empty():
                    keys.add(listener.get_nowait())
                if None in keys:
                    return
                for key in sorted(filter(None, keys)):
                    try:
                        data = self.run(key)
                    except InputError:
                        data = {"key": key, "state": "deleted"}
                    yield f"event: run\ndata: {json.dumps(data)}\n\n"
        finally:
            self._listeners.discard(listener)

    async def end_answers(self) -> None:
        """End the streams, and what waits for the workers."""
        for listener in self._listeners:
            listener.put_nowait(None)
        for worker in (self.worker, self.reader):
            await worker.close()

    async def _watch(self) -> None:
        """Tell the pages when the run that is computed has come further."""
        seen: Any = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if (key := self.queue.running) and self._listeners:
                with contextlib.suppress(InputError):
                    now = self.run(key)
                    if now != seen:
                        seen = now
                        self.changed(key)

    async def _warm_up(self) -> None:
        """Have the worker compile what a first look takes, before there is one."""
        with contextlib.suppress(InputError):
            for what, height, width in WARM:
                # One after the other: a look that somebody waits for comes between.
                await self.worker.ask("warm_up", what=what, height=height, width=width)
