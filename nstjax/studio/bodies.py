"""What comes with a request, never more of it than is allowed."""

import asyncio
import json
from pathlib import Path
from typing import Any

from starlette.requests import Request

from nstjax.errors import InputError

MOST_REQUEST_BYTES = 2**20


async def read_json(request: Request) -> Any:
    """The request's body, an object of JSON."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MOST_REQUEST_BYTES:
            raise InputError(f"the request has more than {MOST_REQUEST_BYTES} bytes")
    try:
        data = json.loads(bytes(body) or b"{}")
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError("the request is no JSON object")
    return data


async def receive_file(request: Request, path: Path, most: int) -> None:
    """Write a request's body to a file."""
    size, too_large = (
        0,
        InputError(f"the file has more than {most >> 20} MiB: give a smaller one"),
    )
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    with open(path, "xb") as file:
        async for block in request.stream():
            size += len(block)
            if size > most:
                raise too_large
            await asyncio.to_thread(file.write, block)
    if not size:
        raise InputError("the file is empty: choose another one")
