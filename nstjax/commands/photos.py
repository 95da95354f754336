"""Several photos in the manner of the same paintings, one after another."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nstjax.commands.launcher import FAILURE_STATUS, INTERRUPTED_STATUS
from nstjax.commands.transfer import check_outputs, transfer
from nstjax.errors import InputError
from nstjax.io.atomic import check_results
from nstjax.io.config import CONFIG
from nstjax.io.contents import find_contents, given_files, unique_names
from nstjax.io.images import FORMATS, check_picture
from nstjax.io.locks import made
from nstjax.io.weights import load_network
from nstjax.optimization.steps import NonFiniteLossError
from nstjax.runs.request import Request, input_paths
from nstjax.runtime.interrupts import requested

LOGGER = logging.getLogger("nstjax")


def paint_photos(request: Request, given: Sequence[str], output: Path | None) -> int:
    """Paint every photo given, also those of folders; returns the exit status.

    One that cannot be painted does not stop the others. The results go to the folder
    ``output``, which is made, else to the working folder's folder of each photo, or to
    the current one.
    """
    if output and (output.suffix.lower() in FORMATS or output.is_file()):
        raise InputError(f"--output={output} is one file: give a folder for the photos")
    contents = find_contents(given, recursive=None)
    videos = [content.path for content in contents if content.video]
    photos = [content.path for content in contents if not content.video]
    if not photos:
        raise InputError(f"{videos[0]} is a video: nstjax-fast restyles videos")
    if videos:
        LOGGER.warning(
            "left out %d videos, %s among them: nstjax-fast restyles videos",
            *(len(videos), videos[0]),
        )
    requests = [*_photo_requests(request, photos, output)]
    # What is wrong with all of them is told once.
    for name, path in input_paths(request).items():
        if name != "content":
            check_picture(path)
    load_network(request.weights, seed=request.seed)
    failed = []
    with made(output or Path()):
        # What cannot be read is no photo, and somebody's still.
        inputs = [path for path, _ in given_files(given)]
        for each in requests:
            check_results([each.outputs.result])
            check_results(given=check_outputs(each), inputs=inputs)
        for number, each in enumerate(requests, start=1):
            print(f"nstjax: photo {number} of {len(requests)}: {each.content}")
            try:
                status = transfer(each)
            except (InputError, NonFiniteLossError, OSError) as error:
                LOGGER.warning("left out %s: %s", each.content, error)
                status = FAILURE_STATUS
            if status == INTERRUPTED_STATUS or requested():
                return INTERRUPTED_STATUS
            failed += [each.content] if status else []
    if failed:
        raise InputError(
            f"{len(failed)} of {len(requests)} photos are missing or incomplete: the "
            "notes above say why"
        )
    return 0


def _photo_requests(
    request: Request, photos: Sequence[Path], output: Path | None
) -> Iterator[Request]:
    """A request for each photo, resumed where its run has begun.

    Its results have a name of their own in the folder ``output``, else in the working
    folder's folder of the photo.
    """
    for photo, name in zip(photos, unique_names(photos), strict=True):
        workdir = request.outputs.workdir and request.outputs.workdir / name
        result = (output or Path()) / f"{name}_stylized.png"
        if workdir and not output:
            result = workdir / "stylized.png"
        begun = workdir is not None and (workdir / CONFIG).exists()
        yield replace(
            request,
            content=str(photo),
            outputs=replace(request.outputs, result=result, workdir=workdir),
            resume=request.resume and begun,
        )
