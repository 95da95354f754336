"""The server's process: uvicorn, which ends at once when somebody ends it."""

import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette

GRACE_SECONDS = 3


class Serving(uvicorn.Server):
    """A server of the studio's application."""

    def __init__(self, app: Starlette):
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", timeout_graceful_shutdown=GRACE_SECONDS
            )
        )
        self._studio: Any = app.state.studio

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would be waited for in vain: streams, and questions to workers."""
        await self._studio.end_answers()
        await super().shutdown(sockets)
