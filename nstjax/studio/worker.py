"""What the server asks of a process that has JAX: pictures read, first looks, plans.

Run as ``python -m nstjax.studio.worker``. A line of JSON comes in on standard input and
one goes out on standard output, ``{"result": …}`` or ``{"error": line}``. It is a
process apart so that the server answers while it computes, and lives when it dies.
"""

import contextlib
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from PIL import ExifTags

from nstjax.errors import InputError
from nstjax.feedforward.inference.restyle import Restyler, mixture, normalized_shares
from nstjax.feedforward.inference.style_specifications import (
    PAINTERLY,
    load_model,
    load_restyler,
    size_at_most,
)
from nstjax.images.resizing import Size, resize
from nstjax.io.compilation_cache import keep_compiled_programs
from nstjax.io.formats import open_picture
from nstjax.io.images import read_image, write_image
from nstjax.io.video import probe, read_frames
from nstjax.io.weights import LoadedParams, load_network
from nstjax.problem.memory_plan import pictures_of, plan_memory
from nstjax.problem.pyramid import plan_scales
from nstjax.runtime.memory import GIGABYTE, keep_freed_memory
from nstjax.studio.jobs import LOOK_SIDES, Painting, preset_of

VIEW, THUMBNAIL = Size("long", 2048), Size("long", 256)
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif"}
SUFFIXES |= {"WEBP": ".webp", "HEIF": ".heic", "GIF": ".gif", "BMP": ".bmp"}
# Paintings are reflected to multiples of this, so that a few compilations serve all.
PAINTING_MULTIPLE = 62
TURNED = (5, 6, 7, 8)  # EXIF orientations whose sides are exchanged


def add_picture(path: str, view: str, thumbnail: str) -> dict[str, Any]:
    """Read a file as a picture; writes what the page shows of it."""
    picture = read_image(path, functools.partial(size_at_most, size=VIEW))
    with open(path, "rb") as file, open_picture(file, "the picture") as image:
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation) in TURNED:
            width, height = height, width
        suffix = SUFFIXES.get(image.format or "", ".img")
    for size, place in ((VIEW, view), (THUMBNAIL, thumbnail)):
        shown = size_at_most(picture.shape[0], picture.shape[1], size)
        write_image(place, resize(picture, *shown), quality=90)
    return {"width": width, "height": height, "suffix": suffix}


def shrink(path: str, output: str) -> dict[str, Any]:
    """Write a picture as a thumbnail."""
    used_size = functools.partial(size_at_most, size=THUMBNAIL)
    picture = read_image(path, used_size)
    write_image(output, resize(picture, *used_size(*picture.shape[:2])), quality=90)
    return {}


def add_video(path: str, view: str, thumbnail: str) -> dict[str, Any]:
    """The same of a video, shown by its first frame."""
    info = probe(path)
    with contextlib.closing(read_frames(path, info)) as frames:
        frame = next(frames).astype(np.float32) / np.float32(255)
    for size, place in ((VIEW, view), (THUMBNAIL, thumbnail)):
        shown = size_at_most(info.height, info.width, size)
        write_image(place, resize(frame, *shown), quality=90)
    return {"width": info.width, "height": info.height, "suffix": ".video"}


def look(
    photo: str, styles: Sequence[tuple[str, float]], output: str, side: int
) -> dict[str, Any]:
    """The picture of one pass, at a size that takes less than a second."""
    restyler, mixed = _mixed_style(tuple((name, share) for name, share in styles))
    image = _picture(photo, side)
    height, width, _ = image.shape
    # Reflected to one of a few sizes, for which there is a program already.
    least = side * 3 // 4
    larger = (least if length <= least else side for length in (height, width))
    (picture,) = restyler([_reflected(image, *larger)], mixed)
    write_image(output, picture[:height, :width], quality=92)
    return {}


def plan(job: Any, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """What a painting takes; ``sizes`` are (height, width) of the photo and styles."""
    painting = msgspec.convert(job, Painting)
    preset = preset_of(painting)
    quick = painting.preset == "quick" and painting.weights == "auto"
    network = _network("slim" if quick else painting.weights)
    content, *styles = (np.broadcast_to(np.float32(0), (*size, 3)) for size in sizes)
    regions = len(painting.masks)
    pictures = pictures_of(content, styles, preset, regions)
    memory = plan_memory(pictures, network.params, preset)
    scales = plan_scales((content.shape[0], content.shape[1]), preset)
    work = sum(
        scale.height * scale.width * (scale.last_step - scale.first_step)
        for scale in scales
    )
    return {
        "width": scales[-1].width,
        "height": scales[-1].height,
        "steps": scales[-1].last_step,
        "pixel_steps": work,
        "gigabytes": round(memory.peak_bytes / GIGABYTE, 2),
        "tile": memory.tile,
        "weights": network.source,
        "weights_sha256": network.sha256,
        "advice": network.advice,
    }


def warm_up(what: str, height: int, width: int) -> None:
    """Compile what a look at a photo, or a painting, of a size takes."""
    restyler, side = _restyler(False), LOOK_SIDES[-1]
    if what == "painting":
        restyler.style_of(_gray(height, width))
    else:
        restyler([_gray(height, width)], restyler.style_of(_gray(side, side)))


def _reflected(image: np.ndarray, height: int, width: int) -> np.ndarray:
    borders = [(0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)]
    return np.pad(image, borders, mode="symmetric")


def _gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), np.float32(0.5))


@functools.lru_cache(maxsize=2)
def _network(weights: str) -> LoadedParams:
    return load_network(weights)


@functools.lru_cache(maxsize=4)
def _picture(path: str, side: int) -> np.ndarray:
    used_size = functools.partial(size_at_most, size=Size("long", side))
    picture = read_image(path, used_size)
    return resize(picture, *used_size(*picture.shape[:2]))


@functools.lru_cache(maxsize=2)
def _restyler(named: bool) -> Restyler:
    items = [(load_model(PAINTERLY).styles[0] if named else __file__, 1.0)]
    return load_restyler(items, None, "slim")


@functools.lru_cache(maxsize=64)
def _style(name: str) -> Any:
    if name in load_model(PAINTERLY).styles:
        return _restyler(True).named_style(name)
    painting = _picture(name, LOOK_SIDES[-1])
    larger = (length + -length % PAINTING_MULTIPLE for length in painting.shape[:2])
    return _restyler(False).style_of(_reflected(painting, *larger))


def _mixed_style(items: tuple[tuple[str, float], ...]) -> tuple[Restyler, Any]:
    known = load_model(PAINTERLY).styles
    named = {name in known for name, _ in items}
    if len(named) > 1:
        raise InputError(
            "bundled styles and paintings of your own cannot be mixed: choose one kind"
        )
    shares = normalized_shares([share for _, share in items])
    styles = [_style(name) for name, _ in items]
    return _restyler(named.pop()), mixture(styles, shares)


TASKS: dict[str, Callable[..., Any]] = {
    "add_picture": add_picture,
    "add_video": add_video,
    "look": look,
    "plan": plan,
    "shrink": shrink,
    "warm_up": warm_up,
}


def main() -> None:
    """Answer requests until standard input ends."""
    keep_freed_memory()
    keep_compiled_programs()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # What a library prints is no answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": TASKS[request["task"]](**request["arguments"])}
        except Exception as error:
            if not isinstance(error, InputError | OSError | MemoryError):
                traceback.print_exc()
            why = str(error) or "memory ran out: choose a smaller size"
            answer = {"error": why.replace(request.get("hide", "\0"), "the picture")}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
