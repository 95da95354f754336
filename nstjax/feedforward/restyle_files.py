"""Restyling files: photos of many sizes in batches, folders, and videos."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.feedforward.fast_request import (
    FastRequest,
    Job,
    check_numbers,
    find_contents,
    is_video,
    plan_jobs,
)
from nstjax.feedforward.looks import Look, load_restyler, make_looks, parse_styles
from nstjax.feedforward.networks import check_sides
from nstjax.feedforward.restyle import Restyler, Style, bucket_of
from nstjax.guidance import MaskSource, read_regions
from nstjax.io.images import read_image, write_image
from nstjax.io.pixels import to_8_bit
from nstjax.io.video import probe, read_frames, write_video
from nstjax.montage import montage
from nstjax.sizes import Size, output_size, resize

# Above so many pixels a picture is restyled in tiles: 16 channels of them need 270 MB.
TILE_ABOVE = 2048**2
DEFAULT_TILE = 1024
BAR_DELAY = 0.2  # seconds

LOGGER = logging.getLogger("nstjax")


def restyle_files(request: FastRequest) -> list[Job]:
    """Restyle everything that is asked for, one result after another.

    Of several photos and videos, those that cannot be used are left out with a note.

    Returns:
      What was done.

    Raises:
      InputError: an input that cannot be used, if there is no other; nothing has been
        written if it could be known before.
      OSError: a file could not be written.
    """
    check_numbers(request)
    contents = find_contents(request.contents)
    items = parse_styles(request.style)
    restyler = load_restyler(items, request.model, request.weights)
    looks = make_looks(
        restyler,
        items,
        regions=request.mask is not None,
        steps=request.interpolate,
        style_size=request.style_size,
    )
    jobs = plan_jobs(request, contents, looks)
    videos = [job for job in jobs if is_video(job.content)]
    photos = [job for job in jobs if job not in videos]
    left_out: list[InputError] = []
    done = []
    # What cannot be used is told by a line of its own: no bar begins before it.
    with tqdm(
        total=len(photos),
        unit="picture",
        delay=BAR_DELAY,
        disable=request.quiet or not photos,
    ) as bar:
        for batch in _batches(request, restyler, photos, left_out):
            for job, picture in _restyled(request, restyler, batch):
                write_image(job.output, picture, request.quality)
                done.append(job)
                bar.update()
    for job in videos:
        try:
            _restyle_video(request, restyler, job)
            done.append(job)
        except InputError as error:
            left_out.append(error)
    if left_out and not done:
        raise left_out[0]
    for reason in left_out:
        LOGGER.warning("left out: %s", reason)
    return done


def _restyled(
    request: FastRequest, restyler: Restyler, batch: Sequence[tuple[Job, np.ndarray]]
) -> Iterator[tuple[Job, np.ndarray]]:
    """The results of jobs of one look whose photos fall into one bucket."""
    jobs, photos = zip(*batch, strict=True)
    if request.interpolate:
        # All its looks share one compilation.
        row = [apply_look(request, restyler, photos, look)[0] for look in jobs[0].looks]
        yield jobs[0], montage(row)
        return
    results = apply_look(request, restyler, photos, jobs[0].looks[0])
    yield from zip(jobs, results, strict=True)


def apply_look(
    request: FastRequest,
    restyler: Restyler,
    photos: Sequence[np.ndarray],
    look: Look,
) -> list[np.ndarray]:
    """Restyle photos of one bucket, with the regions and colors that are asked for.

    Args:
      request: whose strength, mask, colors and tiles hold.
      restyler: from ``nstjax.feedforward.looks.load_restyler``.
      photos: sRGB in 0..1, [height, width, 3] each.
      look: from ``nstjax.feedforward.looks.make_looks``.

    Returns:
      sRGB in 0..1, of the same shapes.
    """
    by_style = [_with_style(request, restyler, photos, style) for style in look.styles]
    results = by_style[0]
    if request.mask is not None:
        results = [
            _in_regions(request.mask, photo, restyled)
            for photo, restyled in zip(photos, zip(*by_style, strict=True), strict=True)
        ]
    if request.color == "style":
        return results
    # scikit-image takes a while to import.
    from nstjax.control import color

    return [
        color.with_luminance(
            photo, color.luminance(result, request.color_space), request.color_space
        )
        if request.color == "luminance"
        else color.match_color(result, photo, request.color_match)
        for photo, result in zip(photos, results, strict=True)
    ]


def _with_style(
    request: FastRequest,
    restyler: Restyler,
    photos: Sequence[np.ndarray],
    style: Style,
) -> list[np.ndarray]:
    height, width, _ = photos[0].shape
    tile = request.tile
    if tile is None and height * width > TILE_ABOVE:
        tile = DEFAULT_TILE
    if not tile:
        return restyler(photos, style, request.strength, batch_size=request.batch_size)
    results = []
    for photo in photos:
        with tqdm(unit="tile", leave=False, disable=request.quiet) as bar:

            def progress(done: int, total: int, bar: tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            results.append(
                restyler.in_tiles(
                    photo, style, request.strength, tile=tile, progress=progress
                )
            )
    return results


def _in_regions(
    mask: MaskSource, photo: np.ndarray, restyled: Sequence[np.ndarray]
) -> np.ndarray:
    """Each style in its region; the photo in what is left."""
    regions = read_regions(mask, photo, "mask")
    if len(restyled) > len(regions.names):
        raise InputError(
            f"{len(restyled)} styles for {len(regions.names)} regions of the mask: "
            "give a style for each region, or fewer"
        )
    masks = regions.masks[: len(restyled), :, :, None]
    masks = masks / np.maximum(masks.sum(0), 1)
    return (masks * np.stack(restyled)).sum(0) + (1 - masks.sum(0)) * photo


def _restyle_video(request: FastRequest, restyler: Restyler, job: Job) -> None:
    """Frame after frame, with the sound of the video."""
    info = probe(job.content)
    look = job.looks[0]

    def restyled() -> Iterator[np.ndarray]:
        frames = read_frames(job.content, info)
        for frame in tqdm(
            frames, total=info.frames or None, unit="frame", disable=request.quiet
        ):
            photo = _sized(frame.astype(np.float32) / np.float32(255), request.size)
            yield to_8_bit(apply_look(request, restyler, [photo], look)[0])

    write_video(job.output, restyled(), info.fps, audio_from=job.content)


def _batches(
    request: FastRequest,
    restyler: Restyler,
    jobs: Sequence[Job],
    left_out: list[InputError],
) -> Iterator[list[tuple[Job, np.ndarray]]]:
    """Jobs and photos of one bucket and look, as many as a batch holds."""
    waiting: dict[Any, list[tuple[Job, np.ndarray]]] = {}
    for job in jobs:
        try:
            photo = _read_photo(job, request, restyler)
        except InputError as error:
            left_out.append(error)
            continue
        batch = waiting.setdefault((bucket_of(*photo.shape[:2]), job.looks[0].name), [])
        batch.append((job, photo))
        if len(batch) == request.batch_size or request.interpolate:
            yield list(batch)
            batch.clear()
    yield from (batch for batch in waiting.values() if batch)


def _read_photo(job: Job, request: FastRequest, restyler: Restyler) -> np.ndarray:
    photo = _sized(read_image(job.content), request.size)
    height, width, _ = photo.shape
    try:
        check_sides(height, width, restyler.model.network.architecture)
    except InputError as error:
        raise InputError(f"{job.content}: {error}") from error
    return photo


def _sized(photo: np.ndarray, size: Size) -> np.ndarray:
    """The photo at the size that is asked for, if that is smaller."""
    height, width = output_size(photo.shape[0], photo.shape[1], size)
    smaller = height * width < photo.shape[0] * photo.shape[1]
    return resize(photo, height, width) if smaller else photo
