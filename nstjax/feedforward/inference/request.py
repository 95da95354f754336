"""What ``nstjax-fast`` is asked for, and the results that it makes of it."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nstjax.errors import InputError
from nstjax.feedforward.inference.style_specifications import (
    StyleSpecification,
    parse_styles,
)
from nstjax.images.options import ColorMatch, ColorSpace
from nstjax.images.resizing import Size
from nstjax.io.atomic import check_results, nearest_folder
from nstjax.io.contents import Content, given_files, unique_names
from nstjax.io.images import FORMATS, check_output
from nstjax.io.locks import remove_dead
from nstjax.io.masks import MaskSource
from nstjax.io.transparency import Transparency
from nstjax.io.video import VIDEO_SUFFIX, check_video_output
from nstjax.presets.preset import Color

DEFAULT_STYLE = "starry_night"
LARGEST = Size("long", 1024)
STYLE_SIZE = Size("long", 512)
LEAST_TILE = 64
MOST_STEPS = 20

LOGGER = logging.getLogger("nstjax")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastRequest:
    """What ``nstjax-fast`` is asked for, by its flags.

    ``output`` is a folder if it has no suffix, exists as one or ends with a slash, else
    a file; several results need a folder. None is the current folder. In a folder, a
    result is named after its photo and style. ``tile`` is 0 for none; None is for tiles
    where a photo is large.
    """

    contents: Sequence[str]
    recursive: bool = False
    style: Sequence[str] = (DEFAULT_STYLE,)
    model: str | None = None
    weights: str = "slim"
    output: str | os.PathLike[str] | None = None
    strength: float = 1.0
    refine: int = 0
    detail: float = 1.0
    interpolate: int = 0
    mask: MaskSource | None = None
    color: Color = "style"
    color_space: ColorSpace = "yiq"
    color_match: ColorMatch = "pca"
    transparency: Transparency = "flatten"
    size: Size = LARGEST
    style_size: Size = STYLE_SIZE
    batch_size: int = 1
    tile: int | None = None
    skip_existing: bool = False
    quality: int = 95
    quiet: bool = False


class Job(NamedTuple):
    """One result of a photo or video, in one style or in those of a row."""

    content: Content
    specifications: tuple[StyleSpecification, ...]
    output: Path


def plan_jobs(
    request: FastRequest,
    contents: Sequence[Content],
    specifications: Sequence[StyleSpecification],
) -> list[Job]:
    """What is written where."""
    row = tuple(specifications)
    groups = [row] if request.interpolate else [(one,) for one in row]
    folder = _output_folder(request, len(contents) * len(groups))
    names = unique_names(
        [content.path for content in contents],
        [(content.folder, content.video) for content in contents],
    )
    jobs = []
    for content, name in zip(contents, names, strict=True):
        if content.video and request.interpolate:
            raise InputError(f"{content.path} is a video: --interpolate takes photos")
        suffix = VIDEO_SUFFIX if content.video else ".png"
        for group in groups:
            style = group[0].name if len(group) == 1 else "row"
            path = Path(request.output or "")
            if folder is not None:
                path = folder / content.folder / f"{name}_{style}{suffix}"
            jobs.append(Job(content, group, path))
    if request.skip_existing:
        jobs = _without_existing(jobs)
    for job in jobs:
        check = check_video_output if job.content.video else check_output
        parent = job.output.parent
        # The folder of several results is made when the first is written.
        check((nearest_folder(parent) if folder else parent) / job.output.name)
    outputs = [job.output for job in jobs]
    check_results(
        outputs if folder else [],
        given=[] if folder else outputs,
        inputs=_inputs(request),
    )
    return jobs


def _output_folder(request: FastRequest, results: int) -> Path | None:
    """The folder that results go to, which may not exist yet; None for one file."""
    if request.output is None:
        return Path()
    given, path = os.fspath(request.output), Path(request.output)
    if path.is_dir() or given.endswith(("/", os.sep)) or not path.suffix:
        nearest = nearest_folder(path)
        if not nearest.is_dir():
            raise InputError(f"--output={given}: {nearest} is a file, give a folder")
        return path
    is_file = path.suffix.lower() in (*FORMATS, VIDEO_SUFFIX) or path.is_file()
    if is_file and results > 1:
        raise InputError(
            f"--output={given} is one file, for {results} results: give a folder"
        )
    several = results > 1 or any(map(os.path.isdir, request.contents))
    return path if several and not is_file else None


def _without_existing(jobs: Sequence[Job]) -> list[Job]:
    """Those whose results do not exist yet; what another job makes is no photo."""
    makers = {job.output.resolve(): job.content for job in jobs}
    jobs = [
        job
        for job in jobs
        if makers.get(job.content.path.resolve(), job.content) == job.content
    ]
    missing = [job for job in jobs if not job.output.exists()]
    # Where nothing is written, nobody else removes what a killed run has left.
    for folder in {job.output.resolve().parent for job in jobs}:
        remove_dead(folder)
    counts = (len(jobs) - len(missing), len(jobs))
    LOGGER.info("%d of %d results are there already and are kept", *counts)
    return missing


def _inputs(request: FastRequest) -> list[str | os.PathLike[str] | None]:
    """Every file that is given, whether it can be read or not."""
    masks = request.mask if isinstance(request.mask, tuple) else (request.mask,)
    given = given_files(
        request.contents, recursive=request.recursive, output=request.output
    )
    return [
        *(path for path, _ in given),
        *(name for name, _ in parse_styles(request.style)),
        *(mask for mask in masks if isinstance(mask, str | os.PathLike)),
        *(request.model, request.weights),
    ]


def check_options(request: FastRequest) -> None:
    """Raise ``InputError`` for options that nothing can be done with."""
    if not 0 <= request.strength <= 1:
        raise InputError(f"strength must lie in 0..1, got {request.strength}")
    if request.batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {request.batch_size}")
    if request.tile and request.tile < LEAST_TILE:
        raise InputError(
            f"tile must be 0 for none, or {LEAST_TILE} or more, got {request.tile}"
        )
    steps = request.interpolate
    if steps and not 2 <= steps <= MOST_STEPS:
        raise InputError(f"interpolate must lie in 2..{MOST_STEPS}, got {steps}")
    for flag, given in (
        ("--mask", request.mask is not None),
        ("--transparency=keep", request.transparency == "keep"),
    ):
        if steps and given:
            raise InputError(f"--interpolate and {flag} cannot go together: choose one")
