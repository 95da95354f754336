"""Restyling files: photos of many sizes in batches, folders, and videos."""

import contextlib
import functools
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference.request import (
    FastRequest,
    Job,
    check_numbers,
    plan_jobs,
)
from nstjax.feedforward.inference.restyle import Restyler, Style, bucket_of
from nstjax.feedforward.inference.style_specifications import (
    Look,
    load_restyler,
    make_looks,
    parse_styles,
    size_at_most,
)
from nstjax.feedforward.networks.networks import check_sides
from nstjax.images.contact_sheet import montage
from nstjax.images.pixels import to_8_bit
from nstjax.images.resizing import resize
from nstjax.io.contents import find_contents, left_out_text
from nstjax.io.extras import reason, write_somewhere
from nstjax.io.images import check_transparent, write_image
from nstjax.io.masks import read_regions
from nstjax.io.transparency import fit_alpha, read_photo
from nstjax.io.video import probe, read_frames, write_video
from nstjax.runtime.progress_bar import ProgressBar

# Above so many pixels a picture is restyled in tiles: 16 channels of them need 270 MB.
TILE_ABOVE = 2048**2
DEFAULT_TILE = 1024
BAR_DELAY = 0.2  # seconds

LOGGER = logging.getLogger("nstjax")


class Photo(NamedTuple):
    """A photo that is to be restyled.

    Attributes:
      job: what it is for.
      image: sRGB in 0..1, [height, width, 3].
      alpha: the opacity that the result gets, [height, width]; None: all is opaque.
      masks: of the regions, see ``apply_look``.
    """

    job: Job
    image: np.ndarray
    alpha: np.ndarray | None
    masks: np.ndarray | None


class Results:
    """Results, each written when it is made.

    Attributes:
      written: where they are.
      errors: of those that could not be written anywhere.
      complete: whether each is where it should be.
    """

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.errors: list[OSError | InputError] = []
        self.complete = True

    def write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write one, elsewhere where it must be, with a note.

        Args:
          path: where it should be; its folder is made.
          write: as for ``nstjax.io.extras.write_somewhere``.
        """

        def write_in_folder(place: Path) -> None:
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place)

        try:
            self.written.append(write_somewhere(path, write_in_folder))
        except (OSError, InputError) as error:
            self.errors.append(error)
        self.complete &= self.written[-1:] == [path]


def restyle_files(request: FastRequest) -> Results:
    """Restyle everything that is asked for, one result after another.

    Of several photos and videos, those that cannot be used are left out with a note,
    and so are results that cannot be written.

    Raises:
      InputError: an input that cannot be used, if there is no other; nothing has been
        written if it could be known before.
      OSError: no result could be written.
    """
    check_numbers(request)
    items = parse_styles(request.style)
    contents = find_contents(
        request.contents, recursive=request.recursive, output=request.output
    )
    restyler = load_restyler(items, request.model, request.weights)
    looks = make_looks(
        restyler,
        items,
        regions=request.mask is not None,
        steps=request.interpolate,
        style_size=request.style_size,
    )
    jobs = plan_jobs(request, contents, looks)
    photos = [job for job in jobs if not job.content.video]
    left_out: dict[Path, InputError] = {}
    results = Results()
    # What cannot be used is told by a line of its own: no bar begins before it.
    with ProgressBar(
        total=len(photos),
        unit="picture",
        delay=BAR_DELAY,
        disable=request.quiet or not photos,
    ) as bar:
        for batch in _batches(request, restyler, photos, left_out):
            for photo, picture in _restyled(request, restyler, batch):
                write = functools.partial(
                    write_image,
                    image=picture,
                    quality=request.quality,
                    alpha=photo.alpha,
                )
                results.write(photo.job.output, write)
                bar.update()
    for job in jobs:
        if job.content.video:
            try:
                _restyle_video(request, restyler, job, results)
            except InputError as error:
                left_out[job.content.path] = error
    errors = [*results.errors, *left_out.values()]
    if errors and not results.written:
        raise errors[0]
    for failure in results.errors:
        LOGGER.warning("%s", reason(failure))
    if left_out:
        LOGGER.warning("left out: %s", left_out_text(left_out))
    return results


def _restyled(
    request: FastRequest, restyler: Restyler, batch: Sequence[Photo]
) -> Iterator[tuple[Photo, np.ndarray]]:
    """The results of photos of one look that fall into one bucket."""
    looks = batch[0].job.looks
    images = [photo.image for photo in batch]
    if request.interpolate:
        # All its looks share one compilation.
        row = [apply_look(request, restyler, images, look)[0] for look in looks]
        yield batch[0], montage(row)
        return
    masks = [photo.masks for photo in batch]
    results = apply_look(request, restyler, images, looks[0], masks)
    yield from zip(batch, results, strict=True)


def apply_look(
    request: FastRequest,
    restyler: Restyler,
    photos: Sequence[np.ndarray],
    look: Look,
    masks: Sequence[np.ndarray | None] | None = None,
) -> list[np.ndarray]:
    """Restyle photos of one bucket, with the regions and colors that are asked for.

    Args:
      request: whose strength, colors and tiles hold.
      restyler: from
        ``nstjax.feedforward.inference.style_specifications.load_restyler``.
      photos: sRGB in 0..1, [height, width, 3] each.
      look: from ``nstjax.feedforward.inference.style_specifications.make_looks``.
      masks: for each photo, where it has each style, [styles, height, width, 1]; None
        for one style everywhere.

    Returns:
      sRGB in 0..1, of the same shapes.
    """
    if request.strength == 0:
        # A painting's network would return what its encoder keeps of the photo.
        return list(photos)
    by_style = [_with_style(request, restyler, photos, style) for style in look.styles]
    results = [
        pictures[0] if mask is None else _in_regions(mask, photo, pictures)
        for photo, mask, *pictures in zip(
            photos, masks or [None] * len(photos), *by_style, strict=True
        )
    ]
    if request.color == "style":
        return results
    # scikit-image takes a while to import.
    from nstjax.images import color

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
        with ProgressBar(unit="tile", leave=False, disable=request.quiet) as bar:

            def progress(done: int, total: int, bar: ProgressBar = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            results.append(
                restyler.in_tiles(
                    photo, style, request.strength, tile=tile, progress=progress
                )
            )
    return results


def _in_regions(
    masks: np.ndarray, photo: np.ndarray, restyled: Sequence[np.ndarray]
) -> np.ndarray:
    """Each style in its region; the photo in what is left."""
    masks = masks / np.maximum(masks.sum(0), 1)
    return (masks * np.stack(restyled)).sum(0) + (1 - masks.sum(0)) * photo


def _read_masks(
    request: FastRequest, photo: np.ndarray, look: Look
) -> np.ndarray | None:
    if request.mask is None:
        return None
    regions = read_regions(request.mask, photo, "mask")
    styles = len(look.styles)
    if styles > len(regions.names):
        raise InputError(
            f"{styles} styles for {len(regions.names)} regions of the mask: give a "
            "style for each region, or fewer"
        )
    masks = regions.masks
    if styles < len(masks) and regions.names[0] == "0":
        # Of a map of numbers it is what nobody has marked.
        masks = masks[1:]
    return masks[:styles, :, :, None]


def _restyle_video(
    request: FastRequest, restyler: Restyler, job: Job, results: Results
) -> None:
    """Frame after frame, with the sound of the video."""
    path, look = job.content.path, job.looks[0]
    with _naming(path):
        info = probe(path)
        height, width = size_at_most(info.height, info.width, request.size)
        check_sides(height, width, restyler.model.network.architecture)
        masks = [_read_masks(request, np.empty((height, width, 3)), look)]

    def restyled() -> Generator[np.ndarray, None, None]:
        total = info.frames or None
        with contextlib.closing(read_frames(path, info)) as frames:
            for frame in ProgressBar(
                frames, total=total, unit="frame", disable=request.quiet
            ):
                photo = frame.astype(np.float32) / np.float32(255)
                photo = resize(photo, height, width)
                yield to_8_bit(apply_look(request, restyler, [photo], look, masks)[0])

    def write(place: Path) -> None:
        # A place that fails has used up frames that the next place needs, too.
        with contextlib.closing(restyled()) as frames:
            write_video(place, frames, info.fps, audio_from=path)

    results.write(job.output, write)


def _batches(
    request: FastRequest,
    restyler: Restyler,
    jobs: Sequence[Job],
    left_out: dict[Path, InputError],
) -> Iterator[list[Photo]]:
    """Photos of one bucket and look, as many as a batch holds."""
    # A photo is read once for all its looks.
    read = functools.lru_cache(maxsize=1)(functools.partial(_read_photo, request))
    waiting: dict[Any, list[Photo]] = {}
    for job in jobs:
        path, look = job.content.path, job.looks[0]
        try:
            with _naming(path):
                image, alpha = read(path)
                height, width, _ = image.shape
                check_sides(height, width, restyler.model.network.architecture)
                if alpha is not None:
                    check_transparent(job.output)
                masks = _read_masks(request, image, look)
        except InputError as error:
            left_out[path] = error
            continue
        batch = waiting.setdefault((bucket_of(height, width), look.name), [])
        batch.append(Photo(job, image, alpha, masks))
        if len(batch) == request.batch_size or request.interpolate:
            yield list(batch)
            batch.clear()
    yield from (batch for batch in waiting.values() if batch)


def _read_photo(
    request: FastRequest, path: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    """The photo at its size, and the opacity that its result gets."""
    used_size = functools.partial(size_at_most, size=request.size)
    photo, alpha = read_photo(path, request.transparency, used_size)
    photo = resize(photo, *used_size(photo.shape[0], photo.shape[1]))
    return photo, fit_alpha(alpha, photo)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors begin with the file that they are about."""
    try:
        yield
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from error
