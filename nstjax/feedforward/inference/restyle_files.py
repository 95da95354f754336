"""Restyling files: photos of many sizes in batches, folders, and videos."""

import contextlib
import functools
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference import style_specifications
from nstjax.feedforward.inference.apply_style import apply_style, read_masks
from nstjax.feedforward.inference.request import (
    FastRequest,
    Job,
    check_options,
    plan_jobs,
)
from nstjax.feedforward.inference.restyle import Restyler
from nstjax.feedforward.inference.style_specifications import size_at_most
from nstjax.images.contact_sheet import montage
from nstjax.images.pixels import to_8_bit
from nstjax.images.resizing import resize
from nstjax.io.contents import find_contents, left_out_text
from nstjax.io.extras import reason, write_somewhere
from nstjax.io.images import check_transparent, write_image
from nstjax.io.transparency import fit_alpha, read_photo
from nstjax.io.video import probe, read_frames, write_video
from nstjax.runtime.progress_bar import ProgressBar

BAR_DELAY = 0.2  # seconds

LOGGER = logging.getLogger("nstjax")


class Photo(NamedTuple):
    """A photo [height, width, 3] in 0..1, its result's opacity and its regions."""

    job: Job
    image: np.ndarray
    alpha: np.ndarray | None
    masks: np.ndarray | None


class Results:
    """What a request's photos and videos have become, each written when it is made.

    ``errors`` are of results that could not be written anywhere, ``left_out`` is {file
    that cannot be used: why}, and ``complete`` whether each is where it should be.
    """

    def __init__(self, request: FastRequest, restyler: Restyler) -> None:
        self.written: list[Path] = []
        self.errors: list[OSError | InputError] = []
        self.left_out: dict[Path, InputError] = {}
        self.complete = True
        self._request, self._restyler = request, restyler
        self._apply = functools.partial(apply_style, request, restyler)

    def restyle_photos(self, jobs: Sequence[Job]) -> None:
        """Make and write the results of photos."""
        request = self._request
        total, quiet = len(jobs), request.quiet or not jobs
        # What cannot be used is told by a line of its own: no bar begins before it.
        with ProgressBar(
            total=total, unit="picture", delay=BAR_DELAY, disable=quiet
        ) as bar:
            for batch in self._batches(jobs):
                images = [photo.image for photo in batch]
                masks = [photo.masks for photo in batch]
                # All of a row share one compilation.
                row = [
                    self._apply(images, specification, masks)
                    for specification in batch[0].job.specifications
                ]
                pictures = row[0]
                if request.interpolate:
                    pictures = [montage([restyled for (restyled,) in row])]
                for photo, picture in zip(batch, pictures, strict=True):
                    write = functools.partial(
                        write_image,
                        image=picture,
                        quality=request.quality,
                        alpha=photo.alpha,
                    )
                    self._write(photo.job.output, write)
                    bar.update()

    def restyle_video(self, job: Job) -> None:
        """Frame after frame, with the sound of the video."""
        path, (specification,) = job.content.path, job.specifications
        with self._usable(path):
            info = probe(path)
            height, width = size_at_most(info.height, info.width, self._request.size)
            blank = np.empty((height, width, 3))
            self._restyler.check_photo(blank)
            masks = [read_masks(self._request, blank, len(specification.styles))]

        def restyled() -> Generator[np.ndarray, None, None]:
            total, quiet = info.frames or None, self._request.quiet
            with contextlib.closing(read_frames(path, info)) as frames:
                for frame in ProgressBar(
                    frames, total=total, unit="frame", disable=quiet
                ):
                    photo = frame.astype(np.float32) / np.float32(255)
                    photo = resize(photo, height, width)
                    yield to_8_bit(self._apply([photo], specification, masks)[0])

        def write(place: Path) -> None:
            # A place that fails has used up frames that the next place needs, too.
            with contextlib.closing(restyled()) as frames:
                write_video(place, frames, info.fps, audio_from=path)

        if path not in self.left_out:
            self._write(job.output, write)

    def _batches(self, jobs: Sequence[Job]) -> Iterator[list[Photo]]:
        """Photos of one bucket and style, as many as a batch holds."""
        request = self._request
        # A photo is read once for all its styles.
        read = functools.lru_cache(maxsize=1)(functools.partial(_read_photo, request))
        waiting: dict[Any, list[Photo]] = {}
        for job in jobs:
            path, specification = job.content.path, job.specifications[0]
            with self._usable(path):
                image, alpha = read(path)
                self._restyler.check_photo(image)
                if alpha is not None:
                    check_transparent(job.output)
                masks = read_masks(request, image, len(specification.styles))
            if path in self.left_out:
                continue
            key = (self._restyler.padded_size(*image.shape[:2]), specification.name)
            batch = waiting.setdefault(key, [])
            batch.append(Photo(job, image, alpha, masks))
            if len(batch) == request.batch_size or request.interpolate:
                yield list(batch)
                batch.clear()
        yield from (batch for batch in waiting.values() if batch)

    @contextlib.contextmanager
    def _usable(self, path: Path) -> Iterator[None]:
        """Leave a file out that cannot be used, and have the error begin with it."""
        try:
            yield
        except InputError as error:
            if not str(error).startswith(str(path)):
                error = InputError(f"{path}: {error}")
            self.left_out[path] = error

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a result, elsewhere where it must be, with a note."""

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
    """
    check_options(request)
    items = style_specifications.parse_styles(request.style)
    contents = find_contents(
        request.contents, recursive=request.recursive, output=request.output
    )
    restyler = style_specifications.load_restyler(
        items,
        request.model,
        request.weights,
        refine=request.refine,
        detail=request.detail,
    )
    specifications = style_specifications.specify_styles(
        restyler,
        items,
        regions=request.mask is not None,
        steps=request.interpolate,
        style_size=request.style_size,
    )
    jobs = plan_jobs(request, contents, specifications)
    results = Results(request, restyler)
    results.restyle_photos([job for job in jobs if not job.content.video])
    for job in jobs:
        if job.content.video:
            results.restyle_video(job)
    errors = [*results.errors, *results.left_out.values()]
    if errors and not results.written:
        raise errors[0]
    for failure in results.errors:
        LOGGER.warning("%s", reason(failure))
    if results.left_out:
        LOGGER.warning("left out: %s", left_out_text(results.left_out))
    return results


def _read_photo(
    request: FastRequest, path: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    """The photo at its size, and the opacity that its result gets."""
    used_size = functools.partial(size_at_most, size=request.size)
    photo, alpha = read_photo(path, request.transparency, used_size)
    photo = resize(photo, *used_size(*photo.shape[:2]))
    return photo, fit_alpha(alpha, photo)
