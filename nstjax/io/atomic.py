"""Writing a file whole or not at all, and whether it can be written."""

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nstjax.errors import InputError
from nstjax.io.locks import NEW, remove_dead, temporary_folder


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block succeeds.

    Whoever reads ``path`` sees the old file or the complete new one, never a part.
    When the block fails, for whatever reason, the temporary file is removed and the
    old file is left as it was. What a process that was killed has left in the folder
    is removed first.

    Args:
      path: the file to write; a symbolic link is followed, not replaced.

    Yields:
      A path on the same disk with the same suffix, where no file exists yet.

    Raises:
      OSError: the block wrote no file, or it cannot be put in place.
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


# Of a folder with many files it would take as long as to write one.
_remove_dead_once = functools.cache(remove_dead)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file can be written, before the work that makes it.

    Raises:
      InputError: a folder or a device has its name, or its folder is missing or not
        writable.
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file: give the name of another one")
    if not folder.is_dir():
        raise InputError(f"{path} cannot be written: create the folder {folder} first")
    _check_permission(path, folder)


def check_inputs_kept(
    outputs: Iterable[str | os.PathLike[str]],
    inputs: Iterable[str | os.PathLike[str] | None],
) -> None:
    """Check that no result would take the place of an input.

    Args:
      outputs: every file that a command is going to write.
      inputs: every file that it reads; None for one that is not given.

    Raises:
      InputError: two of them are one file, by whatever path or link.
    """
    # Folders have thousands of files: comparing each with each would take minutes.
    existing = [path for path in inputs if path is not None and os.path.exists(path)]
    kept = {(found.st_dev, found.st_ino) for found in map(os.stat, existing)}
    for output in filter(os.path.exists, outputs):
        found = os.stat(output)
        if (found.st_dev, found.st_ino) in kept:
            raise InputError(
                f"{output} is one of the inputs and would be overwritten: choose "
                "another place for the result"
            )


def check_unlinked(paths: Iterable[Path]) -> None:
    """Check that no file or folder is a link whose name a program has chosen itself.

    A folder that was sent around may hold links to any file, which would be
    overwritten. Whoever gives a link as a flag means the file that it leads to.

    Raises:
      InputError: one of them is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link, and the file that it leads to would be "
                "overwritten: remove it, or choose another place"
            )


def check_new(folder: Path, paths: Iterable[Path]) -> None:
    """Check that a working folder holds nothing that a new run would overwrite.

    Args:
      folder: of the run.
      paths: what it is going to write there; others are not looked at.

    Raises:
      InputError: one of them is there already.
    """
    for path in paths:
        if folder in path.parents and path.exists():
            raise InputError(
                f"{path} is there already, and no run in {folder} wrote it: choose "
                "another --workdir"
            )


def check_workdir(folder: Path) -> None:
    """Check that files can be written into a folder, which may not exist yet.

    Raises:
      InputError: it is a file, or cannot be made, or is not writable.
    """
    nearest = nearest_folder(folder)
    if not nearest.is_dir():
        what = "is a file" if nearest == folder else f"lies below {nearest}, a file"
        raise InputError(f"--workdir={folder} {what}: give a folder")
    _check_permission(folder, nearest)


def nearest_folder(path: Path) -> Path:
    """The path itself or its first ancestor that exists."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _check_permission(path: Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{path} cannot be written: the folder {folder} is not writable, "
            "give another one"
        )
