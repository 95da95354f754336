"""The server's side of its worker: one question at a time, and a new one if it dies."""

import asyncio
import contextlib
import json
import sys
from typing import Any

from nstjax.errors import InputError

MOST_ANSWER_BYTES = 2**20


class Worker:
    """A process that answers, see ``nstjax.studio.worker``."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, task: str, hide: str = "\0", **arguments: Any) -> Any:
        """What a task of the worker gives.

        ``InputError`` is the worker's, in whose line no path that is to be hidden
        stands, or says that the worker has died.
        """
        question = {"task": task, "hide": hide, "arguments": arguments}
        async with self._lock:
            process = await self._started()
            assert process.stdin is not None and process.stdout is not None
            line = b""
            with contextlib.suppress(ConnectionError):
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            if not line:
                await process.wait()
                self._process = None
                raise InputError(
                    "the process that makes pictures has died, most likely because "
                    "memory ran out: try a smaller picture"
                )
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["result"]

    async def close(self) -> None:
        """End the worker."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "nstjax.studio.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MOST_ANSWER_BYTES,
                start_new_session=True,
            )
        return self._process
