"""What ``nstjax-fast`` is asked for, and the results that it makes of it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nstjax.errors import InputError
from nstjax.feedforward.looks import Look
from nstjax.guidance import MaskSource
from nstjax.io.atomic import check_writable
from nstjax.io.images import FORMATS, check_output
from nstjax.io.video import VIDEO_SUFFIXES
from nstjax.preset import Color, ColorMatch, ColorSpace
from nstjax.sizes import Size

DEFAULT_STYLE = "starry_night"
LARGEST = Size("long", 1024)
STYLE_SIZE = Size("long", 512)
LEAST_TILE = 64
MOST_STEPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastRequest:
    """What ``nstjax-fast`` is asked for.

    Attributes:
      contents: photos, videos, and folders of them.
      style: names or paintings with shares, see ``nstjax.feedforward.looks``.
      model: "painterly", "arbitrary", a file, or None to choose by the style.
      weights: of the arbitrary style's encoder.
      output: a file; or a folder, which several results need; None for the working
        folder, where a result is named after its photo and style.
      strength: 0 to 1.
      interpolate: steps of a row from style to style, or 0.
      mask: regions of the photo, one for each style.
      color: whose colors the result has.
      color_space: where luminance is found.
      color_match: how colors are matched.
      size: of the result; never larger than the photo.
      style_size: of paintings, likewise.
      batch_size: photos of one size that are restyled together.
      tile: pixels on a side of a tile; 0 for none; None: tiles for large photos.
      skip_existing: whether results that are there already are kept.
      quality: of JPEG and WebP.
      quiet: no progress bar.
    """

    contents: Sequence[str]
    style: str = DEFAULT_STYLE
    model: str | None = None
    weights: str = "slim"
    output: Path | None = None
    strength: float = 1.0
    interpolate: int = 0
    mask: MaskSource | None = None
    color: Color = "style"
    color_space: ColorSpace = "yiq"
    color_match: ColorMatch = "pca"
    size: Size = LARGEST
    style_size: Size = STYLE_SIZE
    batch_size: int = 1
    tile: int | None = None
    skip_existing: bool = False
    quality: int = 95
    quiet: bool = False


class Job(NamedTuple):
    """One result.

    Attributes:
      content: the photo or video.
      looks: one, or those of a row.
      output: where it goes.
    """

    content: Path
    looks: tuple[Look, ...]
    output: Path


def find_contents(given: Sequence[str]) -> list[Path]:
    """The photos and videos, those of folders in order.

    Raises:
      InputError: none, a folder of other files, or a file that does not exist.
    """
    if not given:
        raise InputError(
            "give a photo, a video or a folder: nstjax-fast PHOTO (nstjax-fast --help "
            "lists the flags)"
        )
    contents: list[Path] = []
    for name in given:
        path = Path(name)
        if not path.is_dir():
            contents.append(path)
            continue
        files = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in (*FORMATS, *VIDEO_SUFFIXES)
        )
        if not files:
            raise InputError(
                f"{path} holds no pictures or videos: give a folder with files of "
                f"{' '.join(FORMATS)}"
            )
        contents += files
    missing = [path for path in contents if not path.exists()]
    if missing:
        raise InputError(f"{missing[0]} does not exist: check the path")
    return contents


def plan_jobs(
    request: FastRequest, contents: Sequence[Path], looks: Sequence[Look]
) -> list[Job]:
    """What is written where.

    Args:
      request: what is asked for.
      contents: from ``find_contents``.
      looks: from ``nstjax.feedforward.looks.make_looks``.

    Raises:
      InputError: a result that cannot be written, or would overwrite an input or
        another.
    """
    groups = [tuple(looks)] if request.interpolate else [(look,) for look in looks]
    several = len(contents) * len(groups) > 1
    output = request.output
    if output is not None and not output.suffix and not output.exists():
        output.mkdir(parents=True)
    if several and output is not None and not output.is_dir():
        raise InputError(
            f"--output={output} is one file, for {len(contents) * len(groups)} "
            "results: give a folder"
        )
    jobs = []
    for content in contents:
        suffix = ".mp4" if is_video(content) else ".png"
        if suffix == ".mp4" and request.interpolate:
            raise InputError(f"{content} is a video: --interpolate takes photos")
        for group in groups:
            name = group[0].name if len(group) == 1 else "row"
            path = output or Path()
            if path.is_dir():
                path = path / f"{content.stem}_{name}{suffix}"
            jobs.append(Job(content, group, path))
    paths = [job.output for job in jobs]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(
                f"two results would be {path}: restyle photos of the same name one by "
                "one"
            )
        if any(path.exists() and path.samefile(content) for content in contents):
            raise InputError(f"{path} is an input: choose another --output")
    for job in jobs:
        check = check_writable if is_video(job.content) else check_output
        check(job.output)
    if request.skip_existing:
        return [job for job in jobs if not job.output.exists()]
    return jobs


def is_video(path: Path) -> bool:
    """Whether the name is a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_numbers(request: FastRequest) -> None:
    """Raise ``InputError`` for a number that nothing can be done with."""
    if not 0 <= request.strength <= 1:
        raise InputError(f"strength must lie in 0..1, got {request.strength}")
    if request.batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {request.batch_size}")
    if request.interpolate and not 2 <= request.interpolate <= MOST_STEPS:
        raise InputError(
            f"interpolate must lie in 2..{MOST_STEPS}, got {request.interpolate}"
        )
    if request.tile and request.tile < LEAST_TILE:
        raise InputError(
            f"tile must be 0 for none, or {LEAST_TILE} or more, got {request.tile}"
        )
    if request.interpolate and request.mask is not None:
        raise InputError("--interpolate and --mask cannot go together: choose one")
