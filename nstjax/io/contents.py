"""The photos and videos that somebody gives, one by one or in folders."""

import contextlib
import functools
import itertools
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from nstjax.errors import InputError
from nstjax.io.images import NoPictureError, check_picture
from nstjax.io.paths import StrPath
from nstjax.io.video import VIDEO_SUFFIX, is_video, probe

ANIMATED = ("GIF", "PNG", "WEBP")
# Bytes of a photo's name in that of its results. A file's may have 255: a style's name
# comes after it, or .nstjax-style.png.
LONGEST_NAME = 140

LOGGER = logging.getLogger("nstjax")
Note = Callable[[str, str], object]


class Content(NamedTuple):
    """A photo or a video, and where it lies in the folder that was given."""

    path: Path
    video: bool
    folder: Path = Path()


def find_contents(
    given: Sequence[str],
    *,
    recursive: bool | None = False,
    output: StrPath | None = None,
) -> list[Content]:
    """The photos and videos, those of folders in order of their names.

    If the output is a video, animated pictures count as videos. Of several files, those
    that cannot be read are left out with one note. ``recursive`` is None if the command
    has no such flag.
    """
    note = functools.partial(LOGGER.warning, "left out %s: %s")
    files = given_files(given, recursive=bool(recursive), output=output, note=note)
    animated = Path(output or "").suffix.lower() == VIDEO_SUFFIX
    contents = []
    left_out: dict[Path, InputError] = {}
    for path, folder in files:
        try:
            contents.append(Content(path, holds_video(path, animated), folder))
        except InputError as error:
            if len(given) == len(files) == 1 and not Path(given[0]).is_dir():
                raise
            left_out[path] = error
    why = left_out_text(left_out)
    if not contents:
        where = ", ".join(given)
        if recursive is False and any(any(Path(name).glob("[!.]*/")) for name in given):
            where += " (--recursive looks into subfolders)"
        why = why or "give a folder with some"
        raise InputError(f"no pictures or videos in {where}: {why}")
    if left_out:
        LOGGER.warning("left out %d of %d files: %s", len(left_out), len(files), why)
    return contents


def given_files(
    given: Sequence[str],
    *,
    recursive: bool = False,
    output: StrPath | None = None,
    note: Note = lambda folder, why: None,
) -> list[tuple[Path, Path]]:
    """The files that are given, whatever they hold, and where they lie in a folder."""
    files: list[tuple[Path, Path]] = []
    for name in given:
        path = Path(name)
        if path.is_dir():
            results = () if output is None else (output,)
            found = files_below(path, recursive=recursive, without=results, note=note)
            files += [(file, file.parent.relative_to(path)) for file in found]
        elif path.exists():
            files.append((path, Path()))
        else:
            raise InputError(f"{path} does not exist: check the path")
    return files


def split_paintings(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is restyled, and the pictures after the first, whose style it gets."""
    contents, paintings = list(given[:1]), list[str]()
    for name in given[1:]:
        if not os.path.exists(name):
            raise InputError(
                f"{name} does not exist: check the path; the name of a style goes to "
                "--style"
            )
        is_content = os.path.isdir(name) or holds_video(Path(name))
        (contents if is_content else paintings).append(name)
    if len(paintings) > 1:
        mixture = "restyling %s in a mixture of %d paintings: with --style, all "
        LOGGER.info(mixture + "pictures are restyled", given[0], len(paintings))
    return contents, paintings


def holds_video(path: Path, animated: bool = False) -> bool:
    """Whether a file is a video, or an animation, rather than a picture."""
    try:
        check_picture(path)
        return animated and _is_animation(path)
    except NoPictureError:
        pass
    try:
        video = is_video(path)
    except InputError:
        raise InputError(
            f"{path} is not a picture that can be read, and videos need "
            "imageio-ffmpeg: pip install 'nstjax[video]'"
        ) from None
    if not video:
        raise InputError(f"{path} is neither a picture nor a video that can be read")
    probe(path)
    return True


def unique_names(
    paths: Sequence[Path], places: Sequence[Hashable] | None = None
) -> list[str]:
    """Names for the results of files, which are unique where the places are the same.

    None has more than ``LONGEST_NAME`` bytes and a number, or is a folder such as "..".

    >>> unique_names([Path("a.png"), Path("b.png"), Path("b.jpg"), Path("c/b.jpg")])
    ['a', 'b_png', 'b_jpg', 'b_jpg_2']
    """
    placed = list(zip(places or [None] * len(paths), paths, strict=True))
    stems = Counter((place, path.stem.casefold()) for place, path in placed)
    # Some file systems take a.png and A.png for one.
    names: dict[tuple[Hashable, str], str] = {}
    for place, path in placed:
        # The stem of ...png would be the folder above.
        plain = stems[place, path.stem.casefold()] == 1 and path.stem.strip(".")
        stem = path.stem if plain else path.name.replace(".", "_")
        stem = name = shortened(stem, LONGEST_NAME)
        numbers = itertools.count(2)
        while (place, name.casefold()) in names:
            name = f"{stem}_{next(numbers)}"
        names[place, name.casefold()] = name
    return list(names.values())


def shortened(name: str, most_bytes: int) -> str:
    """The name's beginning, of so many bytes at most in a file's name."""
    encoded = os.fsencode(name)
    cut = encoded[:most_bytes].decode(errors="ignore")
    return name if len(encoded) <= most_bytes else cut


def left_out_text(left_out: Mapping[Path, InputError]) -> str:
    """Why files are left out: each reason once, with the first file that has it."""
    reasons: dict[str, list[Path]] = {}
    for path, error in left_out.items():
        reasons.setdefault(str(error).removeprefix(str(path)), []).append(path)
    return "; ".join(
        f"{paths[0]}{reason}" + (f" (and {len(paths) - 1} more)" if paths[1:] else "")
        for reason, paths in reasons.items()
    )


def _is_animation(path: Path) -> bool:
    """Whether a picture has several frames that ffmpeg reads."""
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.suppress(UnidentifiedImageError),
        Image.open(path, formats=ANIMATED) as image,
    ):
        return bool(getattr(image, "is_animated", False))
    return False


def files_below(
    folder: StrPath,
    *,
    recursive: bool,
    without: Iterable[StrPath] = (),
    note: Note = lambda folder, why: None,
) -> Iterator[Path]:
    """The files of a folder in order of their names, but for hidden ones.

    Subfolders may be left out; what cannot be looked into goes to ``note``, and why.
    """
    left_out = {Path(path).resolve() for path in without}

    def unreadable(error: OSError) -> None:
        note(os.fspath(error.filename), error.strerror or str(error))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and Path(parent, name).resolve() not in left_out
        )
        for linked in filter(os.path.islink, (Path(parent, name) for name in folders)):
            note(os.fspath(linked), "it is a link to a folder, give that folder")
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)
