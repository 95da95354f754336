"""Writing a file whole or not at all, and whether it can be written."""

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nstjax.errors import InputError
from nstjax.io.locks import NEW, remove_dead, temporary_folder
from nstjax.io.paths import StrPath


@contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block succeeds.

    When it fails, for whatever reason, the old file is left as it was. A symbolic link
    is followed. What a killed process has left in the folder is removed first.
    """
    final = Path(path).resolve()
    _remove_dead_once(final.parent)
    try:
        with temporary_folder(final) as folder:
            temporary = folder / f"{NEW}{final.suffix}"
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, final)
    except OSError as error:
        if error.errno:
            # Whoever reads the message knows the file by its final name.
            raise OSError(error.errno, error.strerror, str(final)) from error
        raise


def write_atomically(path: StrPath, contents: str | bytes | memoryview) -> None:
    """Write a file, text as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            contents.encode() if isinstance(contents, str) else contents
        )


# Of a folder with many files it would take as long as to write one.
_remove_dead_once = functools.cache(remove_dead)


def check_writable(path: StrPath) -> None:
    """Check that a file can be written, before the work that makes it."""
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file: give the name of another one")
    if not folder.is_dir():
        raise InputError(f"{path} cannot be written: create the folder {folder} first")
    _check_permission(path, folder)


def check_results(
    chosen: Iterable[StrPath] = (),
    *,
    given: Iterable[StrPath] = (),
    inputs: Iterable[StrPath | None] = (),
    new_in: Path | None = None,
) -> None:
    """Check that what a command is going to write overwrites no input.

    What the program has ``chosen`` may not be a link: a folder that was sent around may
    hold links to any file. A ``given`` path may be one, whose target is written. In
    ``new_in``, the working folder of a new run, none of them may exist yet.
    """
    own = list(map(Path, chosen))
    written = [*own, *map(Path, given)]
    # Folders have thousands of files: comparing each with each would take minutes.
    kept = {_identity(path) for path in inputs if path and os.path.exists(path)}
    for path in filter(os.path.exists, written):
        if _identity(path) in kept:
            raise InputError(
                f"{path} is one of the inputs and would be overwritten: choose "
                "another place for the result"
            )
    for path in own:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link, and the file that it leads to would be "
                "overwritten: remove it, or choose another place"
            )
    for path in written:
        if new_in and new_in in path.parents and path.exists():
            raise InputError(
                f"{path} is there already, and no run in {new_in} wrote it: choose "
                "another --workdir"
            )


def check_workdir(folder: Path) -> None:
    """Check that files can be written into a folder, which may not exist yet."""
    nearest = nearest_folder(folder)
    if not nearest.is_dir():
        what = "is a file" if nearest == folder else f"lies below {nearest}, a file"
        raise InputError(f"--workdir={folder} {what}: give a folder")
    _check_permission(folder, nearest)


def nearest_folder(path: Path) -> Path:
    """The path itself or its first ancestor that exists."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _identity(path: StrPath) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _check_permission(path: Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{path} cannot be written: the folder {folder} is not writable, "
            "give another one"
        )
