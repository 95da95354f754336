"""The server: what the page asks for, answered from the studio's folder."""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nstjax.commands.preset_flags import SETTINGS
from nstjax.errors import InputError
from nstjax.presets.published import PRESETS
from nstjax.studio import jobs
from nstjax.studio.access import Access
from nstjax.studio.bodies import read_json, receive_file
from nstjax.studio.core import Studio
from nstjax.studio.downloads import converted, write_archive
from nstjax.studio.pictures import KINDS, Picture, id_of, shown_name
from nstjax.studio.runs import RESULT
from nstjax.studio.setting_form import described_setting, setting_texts

PAGE = Path(__file__).with_name("page")
MOST_UPLOAD_BYTES = 2**28
MOST_VIDEO_BYTES = 2**32
MOST_ERROR_LETTERS = 1000
FORMATS = {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}
Handler = Callable[[Request], Awaitable[Response]]


class Answers:
    """What the page asks for, answered from a studio."""

    def __init__(self, studio: Studio):
        self._studio = studio

    async def state(self, request: Request) -> Response:
        """Everything that the page shows when it opens."""
        del request
        return JSONResponse(
            {
                "pictures": [
                    msgspec.to_builtins(each) for each in self._studio.pictures
                ],
                "runs": [self._studio.run(key) for key in self._studio.runs],
                "presets": {
                    name: setting_texts(preset) | {"source": preset.source}
                    for name, preset in PRESETS.items()
                },
                "nine": {"beta": jobs.FACTORS, "style_scale": jobs.SCALES},
                "little_style": jobs.LITTLE_STYLE,
                "settings": [
                    described_setting(name) for name in SETTINGS if name != "montage"
                ],
            }
        )

    async def stream(self, request: Request) -> Response:
        """Server-sent events, for as long as the page listens."""
        del request
        return StreamingResponse(self._studio.events(), media_type="text/event-stream")

    async def add_picture(self, request: Request) -> Response:
        """Take an upload: the bytes are the body, its kind and name in the address."""
        kind = request.query_params.get("kind", "photo")
        if kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind[:40]}")
        most = MOST_VIDEO_BYTES if kind == "video" else MOST_UPLOAD_BYTES
        name = shown_name(request.query_params.get("name", ""))
        upload = self._studio.pictures.new_upload()
        try:
            await receive_file(request, upload, most)
            key = id_of(upload, kind)
            if key in self._studio.pictures:
                return JSONResponse(msgspec.to_builtins(self._studio.pictures[key]))
            picture = Picture(key, cast(Any, kind), name, ".img", 0, 0, time.time())
            task = "add_video" if kind == "video" else "add_picture"
            found = await self._studio.reader.ask(
                task,
                hide=str(upload),
                path=str(upload),
                view=str(self._studio.pictures.view(picture)),
                thumbnail=str(self._studio.pictures.thumbnail(picture)),
            )
            picture = msgspec.structs.replace(picture, **found)
            self._studio.pictures.keep(upload, picture)
        finally:
            upload.unlink(missing_ok=True)
        return JSONResponse(msgspec.to_builtins(picture), 201)

    async def picture(self, request: Request) -> Response:
        """A picture's thumbnail, view or file."""
        picture = self._studio.pictures[request.path_params["key"]]
        what = request.path_params["what"]
        path = {
            "thumbnail.jpg": self._studio.pictures.thumbnail,
            "view.jpg": self._studio.pictures.view,
            "original": self._studio.pictures.original,
        }[what](picture)
        headers = {"Cache-Control": "private, max-age=31536000, immutable"}
        if what == "original":
            name = f"{Path(picture.name).stem}{picture.suffix}"
            return FileResponse(path, filename=name, headers=headers)
        return FileResponse(path, headers=headers)

    async def remove_picture(self, request: Request) -> Response:
        """Forget a picture that no run needs."""
        picture = self._studio.pictures[request.path_params["key"]]
        for key in self._studio.runs:
            if picture.id in jobs.pictures_of(self._studio.runs.read(key).job):
                raise InputError("a run needs this picture: delete the run first")
        self._studio.pictures.remove(picture)
        return JSONResponse({})

    async def look(self, request: Request) -> Response:
        """The picture of one pass of a photo, in full style."""
        wanted = jobs.read_look(await read_json(request))
        photo, side = wanted.photo, wanted.side
        items = jobs.style_items(wanted, self._studio.pictures)
        known = json.dumps([photo, items, side]).encode()
        name = f"{hashlib.sha256(known).hexdigest()[:32]}.jpg"
        if (
            not (self._studio.looks / name).exists()
            and not await request.is_disconnected()
        ):
            view = self._studio.pictures.view(self._studio.pictures[photo])
            await self._studio.worker.ask(
                "look",
                photo=str(view),
                styles=items,
                output=str(self._studio.looks / name),
                side=side,
            )
        return JSONResponse({"look": f"/api/looks/{name}"})

    async def look_file(self, request: Request) -> Response:
        """A first look's file."""
        return _file(self._studio.looks, request.path_params["name"])

    async def plan(self, request: Request) -> Response:
        """What a job takes, and the command and the Python that do the same."""
        job = jobs.read_job(await read_json(request))
        assert not isinstance(job, jobs.Nine)
        output = [f"--output={RESULT}"] if isinstance(job, jobs.Painting) else []
        found: dict[str, Any] = {}
        if isinstance(job, jobs.Painting):
            found = await self._planned(job)
        tile = found.get("tile")
        output += [f"--tile={tile}"] if tile else []
        texts = {
            "command": jobs.command_text(job, self._studio.pictures, output),
            "python": jobs.python_text(job, self._studio.pictures, tile),
        }
        return JSONResponse(found | texts)

    async def _planned(self, job: jobs.Painting) -> dict[str, Any]:
        ids = [job.photo, *(style.picture for style in job.styles if style.picture)]
        pictures = [self._studio.pictures[key] for key in ids]
        found = await self._studio.worker.ask(
            "plan",
            job=msgspec.to_builtins(job),
            sizes=[(picture.height, picture.width) for picture in pictures],
        )
        found["seconds"] = self._studio.speeds.seconds(found)
        return dict(found)

    async def add_run(self, request: Request) -> Response:
        """Queue a job."""
        job = jobs.read_job(await read_json(request))
        # What is wrong with it is told now.
        command = job.painting if isinstance(job, jobs.Nine) else job
        jobs.arguments(command, self._studio.pictures)
        if isinstance(command, jobs.Painting):
            await self._planned(command)
        key = self._studio.runs.new(job)
        self._studio.queue.add(key)
        return JSONResponse(self._studio.run(key), 201)

    async def change_run(self, request: Request) -> Response:
        """Pause, stop or go on with a run, or give it more steps."""
        key, change = request.path_params["key"], request.path_params["change"]
        record = self._studio.runs.read(key)
        if change == "pause" and not isinstance(record.job, jobs.Painting):
            raise InputError("only a painting can be paused: stop it, or let it end")
        if change in ("pause", "stop"):
            record.wish = change
            self._studio.runs.write(key, record)
            self._studio.queue.interrupt(key)
        else:
            if key == self._studio.queue.running:
                if record.wish == "run":
                    raise InputError("the run is being computed already")
                await self._studio.queue.wait_for(key)
                record = self._studio.runs.read(key)
            data = await read_json(request) if change == "more" else {}
            if change == "more" and not self._studio.runs.has_steps(key):
                raise InputError("only a painting that has begun takes more steps")
            more = data.get("steps", 0)
            if not isinstance(more, int) or not 0 <= more <= 10**6:
                raise InputError("steps must be a whole number up to a million")
            record.wish, record.ended, record.error = "run", False, ""
            record.more_steps += more
            self._studio.runs.write(key, record)
            self._studio.queue.add(key)
        return JSONResponse(self._studio.run(key))

    async def remove_run(self, request: Request) -> Response:
        """Stop a run and delete its pictures."""
        key = request.path_params["key"]
        record = self._studio.runs.read(key)
        record.wish = "stop"
        self._studio.runs.write(key, record)
        self._studio.queue.interrupt(key)
        await self._studio.queue.wait_for(key)
        self._studio.runs.remove(key)
        self._studio.changed(key)
        return JSONResponse({})

    async def preview(self, request: Request) -> Response:
        """The image so far."""
        path = self._studio.runs.preview(request.path_params["key"])
        if path is None:
            return Response(status_code=404)
        return Response(*_read(path))

    async def thumbnail(self, request: Request) -> Response:
        """The image so far, or a result, small."""
        key = request.path_params["key"]
        source = self._studio.runs.preview(key)
        if source is None:
            return Response(status_code=404)
        path = self._studio.runs.path(key) / "thumbnail.jpg"
        if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
            await self._studio.reader.ask("shrink", path=str(source), output=str(path))
        return FileResponse(path)

    async def losses(self, request: Request) -> Response:
        """The total loss of each step."""
        return JSONResponse(self._studio.runs.losses(request.path_params["key"]))

    async def result(self, request: Request) -> Response:
        """A result to take away, with its settings in the file."""
        key, name = request.path_params["key"], request.path_params["name"]
        stem, _, ending = name.rpartition(".")
        job, kind = self._studio.runs.read(key).job, FORMATS.get(ending)
        for path in self._studio.runs.results(key):
            taken = f"{self._studio.result_name(path)}.{ending}"
            if path.stem == stem and path.suffix == ".png" and kind:
                assert not isinstance(job, jobs.Nine)
                command = jobs.shared_text(job, self._studio.pictures)
                data = await asyncio.to_thread(converted, path, kind, command)
                # As FileResponse does it: a name may have any letters.
                name = FileResponse(path, filename=taken).headers["content-disposition"]
                headers = {"Content-Disposition": name}
                return Response(data, 200, headers, f"image/{kind.lower()}")
            if path.name == name:
                return FileResponse(path, filename=taken)
        raise InputError("there is no such result yet: wait until the run has one")

    async def results_archive(self, request: Request) -> Response:
        """All results of a run in one ZIP file."""
        key = request.path_params["key"]
        path = self._studio.runs.path(key) / "results.zip"
        files = {
            f"{number:03d} {self._studio.result_name(each)}{each.suffix}": each
            for number, each in enumerate(self._studio.runs.results(key), start=1)
        }
        await asyncio.to_thread(write_archive, path, files)
        return FileResponse(path, filename=f"nstjax-{key}.zip")


def make_app(
    folder: Path, hosts: frozenset[str], token: str | None = None
) -> Starlette:
    """The server's application, of a studio whose files are in a folder."""
    studio = Studio(folder)
    answers = Answers(studio)
    routes: list[Any] = [
        _route("/", _index),
        _route("/api/state", answers.state),
        _route("/api/events", answers.stream),
        _route("/api/pictures", answers.add_picture, "POST"),
        _route("/api/pictures/{key}", answers.remove_picture, "DELETE"),
        _route("/api/pictures/{key}/{what}", answers.picture),
        _route("/api/looks", answers.look, "POST"),
        _route("/api/looks/{name}", answers.look_file),
        _route("/api/plan", answers.plan, "POST"),
        _route("/api/runs", answers.add_run, "POST"),
        _route("/api/runs/{key}", answers.remove_run, "DELETE"),
        _route("/api/runs/{key}/preview.jpg", answers.preview),
        _route("/api/runs/{key}/thumbnail.jpg", answers.thumbnail),
        _route("/api/runs/{key}/losses", answers.losses),
        _route("/api/runs/{key}/results.zip", answers.results_archive),
        _route("/api/runs/{key}/results/{name}", answers.result),
        *(
            _route(f"/api/runs/{{key}}/{change}", answers.change_run, "POST", change)
            for change in ("pause", "stop", "resume", "more")
        ),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    guard = Middleware(Access, hosts=hosts, token=token)
    app = Starlette(routes=routes, middleware=[guard], lifespan=studio.lifespan)
    app.state.studio = studio
    return app


def _route(path: str, handler: Handler, method: str = "GET", change: str = "") -> Route:
    """A route whose wrong inputs are answered by a line of JSON."""

    async def guarded(request: Request) -> Response:
        if change:
            request.path_params["change"] = change
        try:
            return await handler(request)
        except InputError as error:
            text = " ".join(str(error).split())
            return JSONResponse({"error": text[:MOST_ERROR_LETTERS]}, 400)
        except ClientDisconnect:
            return Response(status_code=400)
        except OSError as error:
            why = f"a file cannot be read or written: {error.strerror or error}"
            return JSONResponse({"error": why}, 500)

    return Route(path, guarded, methods=[method])


async def _index(request: Request) -> Response:
    del request
    return FileResponse(PAGE / "index.html")


def _file(folder: Path, name: str) -> Response:
    """A file that is in a folder, by a name that was listed there."""
    if name not in {path.name for path in folder.glob("*.jpg")}:
        return Response(status_code=404)
    return FileResponse(folder / name)


def _read(path: Path) -> tuple[bytes, int, None, str]:
    """A picture's bytes as an answer: it may be replaced while it is sent."""
    kind = "image/png" if path.suffix == ".png" else "image/jpeg"
    return path.read_bytes(), 200, None, kind
