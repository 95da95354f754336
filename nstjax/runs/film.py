"""A run as a film: the snapshots of its log, one after another, as a GIF or an MP4."""

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from PIL import Image, ImageDraw, ImageFont

from nstjax.errors import InputError
from nstjax.images.pixels import to_8_bit
from nstjax.io.atomic import check_writable, write_atomically
from nstjax.io.ffmpeg import find_ffmpeg
from nstjax.io.run_log import read_run
from nstjax.io.video import write_video
from nstjax.network.vgg import deprocess
from nstjax.problem.preprocessing import finish
from nstjax.problem.pyramid import resample_image
from nstjax.runs.request import recorded_request
from nstjax.runs.saved_run import read_saved_run

Frame = tuple[int, np.ndarray]

# Some players slow down a GIF that is faster.
MOST_FPS = 50
LONGEST_HOLD = 600
# A GIF is made in memory, a byte for each pixel.
MOST_PIXELS = 2**32
MOST_GIF_PIXELS = 2**29


def film_frames(
    folder: Path, fade: int = 0, most_pixels: int = MOST_PIXELS
) -> Iterator[Frame]:
    """The snapshots of a run and its last image, with blends between: (step, picture).

    A picture is what ``nstjax`` would have written at that step, sRGB in 0..1, float32,
    [height, width, 3]; those of a pyramid's smaller scales are enlarged to the last
    one's size. Where the photo's own colors or parts show in the result, the photo must
    still be where the run found it. ``most_pixels`` is of all pictures together.
    """
    run = read_run(folder)
    if not run.snapshots:
        raise InputError(
            f"the run in {folder} has left no snapshots: run nstjax with "
            "--snapshots=1,10,100 and a --workdir"
        )
    images = {**run.snapshots, run.steps: run.image}
    height, width, _ = run.image.shape
    count = len(images) + (len(images) - 1) * fade
    if count * height * width > most_pixels:
        raise InputError(
            f"the film would have {count} pictures of {width}x{height} pixels, more "
            f"than {most_pixels // (height * width)}: give a smaller --fade, or write "
            "an .mp4 of a run with fewer snapshots"
        )
    picture = _finisher(folder, run.config.get("request"))
    frames = (
        (step, picture(resample_image(jnp.asarray(images[step]), height, width)))
        for step in sorted(images)
    )
    return cross_fade(frames, fade)


def _finisher(
    folder: Path, record: dict[str, Any] | None
) -> Callable[[Array], np.ndarray]:
    """From a run's image to its picture."""
    if record is not None:
        request = recorded_request(record, folder)
        preset, mask = request.preset, request.controls.stylize_mask
        if preset.image.color != "style" or mask or preset.image.resize_to_content:
            original = read_saved_run(folder).problem.original
            return lambda image: finish(image, preset, original)
    return lambda image: np.asarray(deprocess(image))


def cross_fade(frames: Iterable[Frame], between: int) -> Iterator[Frame]:
    """Insert so many blends of each two neighbors, numbered like the earlier one."""
    earlier = None
    for step, picture in frames:
        if earlier is not None:
            for share in np.linspace(0, 1, between + 2, dtype=np.float32)[1:-1]:
                yield earlier[0], (1 - share) * earlier[1] + share * picture
        yield step, picture
        earlier = step, picture


def numbered(picture: np.ndarray, step: int) -> np.ndarray:
    """Write the step into the lower left corner, white with a black outline."""
    image = Image.fromarray(to_8_bit(picture))
    size = max(12, image.height // 14)
    ImageDraw.Draw(image).text(
        (size // 2, image.height - size // 2),
        str(step),
        fill="white",
        font=ImageFont.load_default(size),
        anchor="ls",
        stroke_width=max(1, size // 10),
        stroke_fill="black",
    )
    return np.asarray(image, np.float32) / np.float32(255)


def write_film(
    path: str | os.PathLike[str],
    pictures: Iterable[np.ndarray],
    fps: float = 4.0,
    hold: float = 2.0,
) -> None:
    """Write a film whole or not at all.

    A GIF has 256 colors a frame, chosen for that frame and dithered, and starts over
    when it ends; it counts time in hundredths of a second. An MP4 holds H.264 in 4:2:0,
    as browsers play it; its last row or column is repeated where its size is odd.

    The suffix chooses. Pictures are sRGB in 0..1, [height, width, 3], up to 50 a
    second; the last of them stays for ``hold`` seconds.
    """
    if not 0 < fps <= MOST_FPS or not 0 <= hold <= LONGEST_HOLD:
        raise InputError(
            f"a film of {fps:g} pictures a second, the last of them for {hold:g} "
            f"seconds: give up to {MOST_FPS}, and up to {LONGEST_HOLD} seconds"
        )
    check_writable(path)
    frames = map(to_8_bit, pictures)
    match Path(path).suffix.lower():
        case ".gif":
            _write_gif(path, frames, fps, hold)
        case ".mp4":
            try:
                find_ffmpeg(path)
            except InputError as error:
                raise InputError(f"{error}, or write a .gif") from None
            write_video(path, _last_repeated(frames, round(hold * fps)), fps)
        case _:
            raise InputError(
                f"{path} has no suffix of a film's format: end it with one of .gif .mp4"
            )


def _write_gif(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], fps: float, hold: float
) -> None:
    images = map(Image.fromarray, frames)
    # Pillow dithers only to a palette that it is given.
    first, *others = [each.quantize(palette=each.quantize(256)) for each in images]
    durations = [1000 / fps] * len(others) + [1000 * max(hold, 1 / fps)]
    contents = io.BytesIO()
    first.save(
        contents, "GIF", save_all=True, append_images=others, duration=durations, loop=0
    )
    write_atomically(path, contents.getbuffer())


def _last_repeated(frames: Iterable[np.ndarray], times: int) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
    yield from itertools.repeat(frame, times - 1)
