"""What a run writes beside its result, and a result that cannot be where it should."""

import contextlib
import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from nstjax.errors import EncodingError, InputError

LOGGER = logging.getLogger("nstjax")


class Extras:
    """What a run writes beside its result: a failure costs a note, never the result."""

    def __init__(self) -> None:
        self.missing: set[str] = set()  # what could not be written since
        self._told: set[str] = set()

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Go on after the block whether or not it could write "the preview", say."""
        try:
            yield
            self.missing.discard(what)
        except (OSError, InputError) as error:
            self.missing.add(what)
            if what not in self._told:
                LOGGER.warning("%s; the run goes on without %s", reason(error), what)
            self._told.add(what)


def write_somewhere(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a result, elsewhere if its path fails, with a note that says where.

    Free names are tried beside the path, in the current folder and in the temporary
    one. If all of them fail, the first error is raised.
    """
    try:
        write(path)
        return path
    except EncodingError:
        raise
    except (OSError, InputError) as error:
        for folder in (path.parent, Path(), Path(tempfile.gettempdir())):
            place = free_path(folder / path.name)
            with contextlib.suppress(OSError, InputError):
                write(place)
                LOGGER.warning("%s; wrote %s instead", reason(error), place)
                return place
        raise


def free_path(path: Path) -> Path:
    """The path, or with a number at the end of its stem, where nothing is yet."""
    free, numbers = path, itertools.count(2)
    while os.path.lexists(free):
        free = path.with_stem(f"{path.stem}_{next(numbers)}")
    return free


def reason(error: OSError | InputError) -> str:
    """What could not be written, and why."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be written ({error.strerror})"
    return str(error)
