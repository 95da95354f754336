"""The server: what the page asks for, answered from the studio's folder."""

import asyncio
import contextlib
import hashlib
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from PIL import Image, PngImagePlugin
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nstjax.commands.preset_flags import SETTINGS
from nstjax.errors import InputError
from nstjax.presets.preset import Preset
from nstjax.presets.published import DEFAULT_PRESET, PRESETS
from nstjax.presets.settings import LIMITS, setting_choices, setting_types, settings_of
from nstjax.studio import jobs
from nstjax.studio.access import Access
from nstjax.studio.pictures import KINDS, Picture, Pictures, id_of, shown_name
from nstjax.studio.queue import Queue
from nstjax.studio.runs import RESULT, Runs
from nstjax.studio.speeds import Speeds
from nstjax.studio.worker_client import Worker

PAGE = Path(__file__).with_name("page")
MOST_UPLOAD_BYTES = 2**28
MOST_VIDEO_BYTES = 2**32
MOST_REQUEST_BYTES = 2**20
POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 15
LOOK_SIDES = (256, 512)
FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}
Handler = Callable[[Request], Awaitable[Response]]


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
        self._listeners: set[asyncio.Queue[str]] = set()

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
            await self.worker.close()
            await self.reader.close()

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

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: every run first, then each that has changed."""
        listener: asyncio.Queue[str] = asyncio.Queue()
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
                for key in sorted(keys):
                    try:
                        data = self.run(key)
                    except InputError:
                        data = {"key": key, "state": "deleted"}
                    yield f"event: run\ndata: {json.dumps(data)}\n\n"
        finally:
            self._listeners.discard(listener)

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
            await self.worker.ask(
                "style_thumbnails", folder=str(self.folder / "styles")
            )
            await self.worker.ask("warm_up")

    # What the page asks for.

    async def state(self, request: Request) -> Response:
        """Everything that the page shows when it opens."""
        del request
        return JSONResponse(
            {
                "pictures": [msgspec.to_builtins(each) for each in self.pictures],
                "runs": [self.run(key) for key in self.runs],
                "presets": {
                    name: _texts(preset) | {"source": preset.source}
                    for name, preset in PRESETS.items()
                },
                "default_preset": DEFAULT_PRESET,
                "settings": [
                    _described(name) for name in SETTINGS if name != "montage"
                ],
            }
        )

    async def styles(self, request: Request) -> Response:
        """The bundled styles, once each has its thumbnail."""
        del request
        folder = str(self.folder / "styles")
        return JSONResponse(await self.worker.ask("style_thumbnails", folder=folder))

    async def style_thumbnail(self, request: Request) -> Response:
        """A bundled style's thumbnail."""
        return _file(self.folder / "styles", f"{request.path_params['name']}.jpg")

    async def stream(self, request: Request) -> Response:
        """Server-sent events, for as long as the page listens."""
        del request
        return StreamingResponse(self.events(), media_type="text/event-stream")

    async def add_picture(self, request: Request) -> Response:
        """Take an upload: the bytes are the body, its kind and name in the address."""
        kind = request.query_params.get("kind", "photo")
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind[:40]}")
        most = MOST_VIDEO_BYTES if kind == "video" else MOST_UPLOAD_BYTES
        name = shown_name(request.query_params.get("name", ""))
        upload = self.pictures.new_upload()
        try:
            await _receive(request, upload, most)
            key = id_of(upload)
            known = key in self.pictures and self.pictures[key]
            if known and known.kind == kind:
                return JSONResponse(msgspec.to_builtins(known))
            picture = Picture(key, cast(Any, kind), name, ".img", 0, 0, time.time())
            task = "add_video" if kind == "video" else "add_picture"
            found = await self.reader.ask(
                task,
                hide=str(upload),
                path=str(upload),
                view=str(self.pictures.view(picture)),
                thumbnail=str(self.pictures.thumbnail(picture)),
            )
            picture = msgspec.structs.replace(picture, **found)
            self.pictures.keep(upload, picture)
        finally:
            upload.unlink(missing_ok=True)
        return JSONResponse(msgspec.to_builtins(picture), 201)

    async def picture(self, request: Request) -> Response:
        """A picture's thumbnail, view or file."""
        picture = self.pictures[request.path_params["key"]]
        what = request.path_params["what"]
        path = {
            "thumbnail.jpg": self.pictures.thumbnail,
            "view.jpg": self.pictures.view,
            "original": self.pictures.original,
        }[what](picture)
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        if what == "original":
            name = f"{Path(picture.name).stem}{picture.suffix}"
            return FileResponse(path, filename=name, headers=headers)
        return FileResponse(path, headers=headers)

    async def remove_picture(self, request: Request) -> Response:
        """Forget a picture that no run needs."""
        picture = self.pictures[request.path_params["key"]]
        for key in self.runs:
            if picture.id in jobs.pictures_of(self.runs.read(key).job):
                raise InputError("a run needs this picture: delete the run first")
        self.pictures.remove(picture)
        return JSONResponse({})

    async def look(self, request: Request) -> Response:
        """The picture of one pass of a photo, in full style."""
        data = await _json(request)
        job = jobs.read_job({"type": "restyle"} | data.get("job", {}))
        assert isinstance(job, jobs.Restyling)
        side = data.get("side", LOOK_SIDES[-1])
        if side not in LOOK_SIDES:
            raise InputError(f"side must be one of {LOOK_SIDES}, got {side!r}")
        items = jobs.style_items(job, self.pictures)
        known = json.dumps([job.photos[0], items, side]).encode()
        name = f"{hashlib.sha256(known).hexdigest()[:32]}.jpg"
        if not (self.looks / name).exists() and not await request.is_disconnected():
            photo = self.pictures.original(self.pictures[job.photos[0]])
            await self.worker.ask(
                "look",
                photo=str(photo),
                styles=items,
                output=str(self.looks / name),
                side=side,
            )
        return JSONResponse({"look": f"/api/looks/{name}"})

    async def look_file(self, request: Request) -> Response:
        """A first look's file."""
        return _file(self.looks, request.path_params["name"])

    async def plan(self, request: Request) -> Response:
        """What a job takes, and the command and the Python that do the same."""
        job = jobs.read_job(await _json(request))
        assert not isinstance(job, jobs.Nine)
        output = [f"--output={RESULT}"] if isinstance(job, jobs.Painting) else []
        found: dict[str, Any] = {}
        if isinstance(job, jobs.Painting):
            found = await self._planned(job)
        tile = found.get("tile")
        output += [f"--tile={tile}"] if tile else []
        texts = {
            "command": jobs.command_text(job, self.pictures, output),
            "python": jobs.python_text(job, self.pictures, tile),
        }
        return JSONResponse(found | texts)

    async def _planned(self, job: jobs.Painting) -> dict[str, Any]:
        ids = [job.photo, *(style.picture for style in job.styles if style.picture)]
        pictures = [self.pictures[key] for key in ids]
        found = await self.worker.ask(
            "plan",
            job=msgspec.to_builtins(job),
            sizes=[(picture.height, picture.width) for picture in pictures],
        )
        found["seconds"] = self.speeds.seconds(found)
        return dict(found)

    async def add_run(self, request: Request) -> Response:
        """Queue a job."""
        job = jobs.read_job(await _json(request))
        # What is wrong with it is told now.
        command = job.painting if isinstance(job, jobs.Nine) else job
        jobs.arguments(command, self.pictures)
        if isinstance(command, jobs.Painting):
            await self._planned(command)
        key = self.runs.new(job)
        self.queue.add(key)
        return JSONResponse(self.run(key), 201)

    async def change_run(self, request: Request) -> Response:
        """Pause, stop or go on with a run, or give it more steps."""
        key, change = request.path_params["key"], request.path_params["change"]
        record = self.runs.read(key)
        if change == "pause" and not isinstance(record.job, jobs.Painting):
            raise InputError("only a painting can be paused: stop it, or let it end")
        if change in ("pause", "stop"):
            record.wish = change
            self.runs.write(key, record)
            self.queue.interrupt(key)
        else:
            if key == self.queue.running:
                if record.wish == "run":
                    raise InputError("the run is being computed already")
                await self.queue.wait_for(key)
                record = self.runs.read(key)
            data = await _json(request) if change == "more" else {}
            more = data.get("steps", 0)
            if not isinstance(more, int) or not 0 <= more <= 10**6:
                raise InputError("steps must be a whole number up to a million")
            record.wish, record.ended, record.error = "run", False, ""
            record.more_steps += more
            self.runs.write(key, record)
            self.queue.add(key)
        return JSONResponse(self.run(key))

    async def remove_run(self, request: Request) -> Response:
        """Stop a run and delete its pictures."""
        key = request.path_params["key"]
        record = self.runs.read(key)
        record.wish = "stop"
        self.runs.write(key, record)
        self.queue.interrupt(key)
        await self.queue.wait_for(key)
        self.runs.remove(key)
        self.changed(key)
        return JSONResponse({})

    async def preview(self, request: Request) -> Response:
        """The image so far."""
        path = self.runs.preview(request.path_params["key"])
        if path is None:
            return Response(status_code=404)
        return Response(*_read(path))

    async def losses(self, request: Request) -> Response:
        """The total loss of each step."""
        return JSONResponse(self.runs.losses(request.path_params["key"]))

    async def result(self, request: Request) -> Response:
        """A result to take away, with its settings in the file."""
        key, name = request.path_params["key"], request.path_params["name"]
        for path in self.runs.results(key):
            if path.name == name:
                return FileResponse(path, filename=name)
        suffix = FORMATS.get(name.rpartition(".")[2])
        source = self.runs.path(key) / RESULT
        if not name.startswith("stylized.") or suffix is None or not source.exists():
            raise InputError("there is no such result yet: wait until the run has one")
        job = self.runs.read(key).job
        assert isinstance(job, jobs.Painting)
        command = jobs.command_text(job, self.pictures)
        data = await asyncio.to_thread(_converted, source, suffix, command)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=f"image/{suffix.lower()}", headers=headers)

    async def results_archive(self, request: Request) -> Response:
        """All results of a run in one ZIP file."""
        key = request.path_params["key"]
        path = self.runs.path(key) / "results.zip"
        await asyncio.to_thread(_write_archive, path, self.runs.results(key))
        return FileResponse(path, filename=f"nstjax-{key}.zip")


def make_app(
    folder: Path, hosts: frozenset[str], token: str | None = None
) -> Starlette:
    """The server's application, of a studio whose files are in a folder."""
    studio = Studio(folder)
    routes: list[Any] = [
        _route("/", _index),
        _route("/api/state", studio.state),
        _route("/api/events", studio.stream),
        _route("/api/styles", studio.styles),
        _route("/api/styles/{name}.jpg", studio.style_thumbnail),
        _route("/api/pictures", studio.add_picture, "POST"),
        _route("/api/pictures/{key}", studio.remove_picture, "DELETE"),
        _route("/api/pictures/{key}/{what}", studio.picture),
        _route("/api/looks", studio.look, "POST"),
        _route("/api/looks/{name}", studio.look_file),
        _route("/api/plan", studio.plan, "POST"),
        _route("/api/runs", studio.add_run, "POST"),
        _route("/api/runs/{key}", studio.remove_run, "DELETE"),
        _route("/api/runs/{key}/preview.jpg", studio.preview),
        _route("/api/runs/{key}/losses", studio.losses),
        _route("/api/runs/{key}/results.zip", studio.results_archive),
        _route("/api/runs/{key}/results/{name}", studio.result),
        *(
            _route(f"/api/runs/{{key}}/{change}", studio.change_run, "POST", change)
            for change in ("pause", "stop", "resume", "more")
        ),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    guard = Middleware(Access, hosts=hosts, token=token)
    return Starlette(routes=routes, middleware=[guard], lifespan=studio.lifespan)


def _route(path: str, handler: Handler, method: str = "GET", change: str = "") -> Route:
    """A route whose wrong inputs are answered by a line of JSON."""

    async def guarded(request: Request) -> Response:
        if change:
            request.path_params["change"] = change
        try:
            return await handler(request)
        except InputError as error:
            return JSONResponse({"error": " ".join(str(error).split())}, 400)
        except ClientDisconnect:
            return Response(status_code=400)
        except OSError as error:
            why = f"a file cannot be read or written: {error.strerror or error}"
            return JSONResponse({"error": why}, 500)

    return Route(path, guarded, methods=[method])


async def _index(request: Request) -> Response:
    del request
    return FileResponse(PAGE / "index.html")


async def _json(request: Request) -> Any:
    """The request's body, an object of JSON."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MOST_REQUEST_BYTES:
            raise InputError(f"the request has more than {MOST_REQUEST_BYTES} bytes")
    try:
        data = json.loads(bytes(body) or b"{}")
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InputError("the request is no JSON object")
    return data


async def _receive(request: Request, path: Path, most: int) -> None:
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


def _file(folder: Path, name: str) -> Response:
    """A file that is in a folder, by a name that was listed there."""
    if name not in {path.name for path in folder.glob("*.jpg")}:
        return Response(status_code=404)
    return FileResponse(folder / name)


def _read(path: Path) -> tuple[bytes, int, None, str]:
    """A picture's bytes as an answer: it may be replaced while it is sent."""
    kind = "image/png" if path.suffix == ".png" else "image/jpeg"
    return path.read_bytes(), 200, None, kind


def _converted(source: Path, name: str, command: str) -> bytes:
    """A picture in another format, with the command that makes it as metadata."""
    encoded = io.BytesIO()
    with Image.open(source) as image:
        if name == "PNG":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("nstjax", command)
            image.save(encoded, name, pnginfo=info)
        else:
            exif = Image.Exif()
            exif[0x010E] = command.encode("ascii", "replace").decode()
            options = {"quality": 95, "subsampling": "4:4:4"} if name == "JPEG" else {}
            image.convert("RGB").save(encoded, name, exif=exif, **options)
    return encoded.getvalue()


def _write_archive(path: Path, files: list[Path]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)


def _texts(preset: Preset) -> dict[str, str]:
    """A preset's settings as the texts of flags."""
    return {name: _text(value) for name, value in settings_of(preset).items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple) and hasattr(value, "rule"):
        rule, number = value
        if rule == "exact":
            return f"{number[1]}x{number[0]}"
        return rule if rule == "original" else f"{rule}:{number}"
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return (
        ""
        if value is None
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _described(name: str) -> dict[str, Any]:
    """What the page needs to know to let somebody change a setting."""
    kind = setting_types()[name]
    plain = {bool: "switch", int: "whole", float: "number"}.get(kind, "text")
    low, high = LIMITS.get(name, (None, None))
    return {
        "name": name,
        "help": SETTINGS[name],
        "kind": "choice" if setting_choices(name) else plain,
        "choices": setting_choices(name),
        "least": low,
        "most": high,
    }
