"""Folders that a command works in alone, and what it keeps in them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from nstjax.io.atomic import check_workdir
from nstjax.io.config import has_begun, write_config
from nstjax.io.locks import working_in
from nstjax.runtime.processes import all_or_none, is_first_process


def begin_folder(folder: Path, command: str, written: Sequence[Path]) -> bool:
    """Make a command's folder, unless the same command has; gives whether it is new."""
    settings = {"command": command}
    if has_begun(folder, settings, written):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, {"settings": settings})
    return True


@contextlib.contextmanager
def one_run_in(folder: Path | None) -> Iterator[None]:
    """Work in a folder, if any, alone with the other processes of this run."""
    with contextlib.ExitStack() as stack:
        with all_or_none():
            if folder:
                check_workdir(folder)
                if is_first_process():
                    stack.enter_context(working_in(folder))
        yield
