"""Folders that a command works in alone, and what it keeps in them."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from nstjax.errors import InputError
from nstjax.io.atomic import check_new, check_unlinked, check_workdir
from nstjax.io.config import CONFIG, read_config, write_config
from nstjax.io.locks import working_in
from nstjax.runtime.processes import all_or_none, is_first_process


def begin_folder(folder: Path, command: str, written: Sequence[Path]) -> bool:
    """Make a command's folder, or go on in one that the same command has made.

    Its config.json, the first file there, tells it from a person's folder.

    Args:
      folder: for what the command makes.
      command: its name.
      written: what it is going to write there, whatever is there.

    Returns:
      Whether the folder is a new one of this command.

    Raises:
      InputError: it holds another run, a link, or a file or folder in the place of
        one that is going to be written.
    """
    settings = {"command": command}
    check_unlinked([folder / CONFIG, *written])
    if (folder / CONFIG).exists():
        if read_config(folder)["settings"] != settings:
            raise InputError(f"{folder} holds another run: choose another --workdir")
        return False
    check_new(folder, written)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, {"settings": settings})
    return True


@contextlib.contextmanager
def one_run_in(folder: Path | None) -> Iterator[None]:
    """Work in a folder alone, with the other processes of this run; None for no folder.

    Raises:
      InputError: another run works there, or it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        with all_or_none():
            if folder:
                check_workdir(folder)
                if is_first_process():
                    stack.enter_context(working_in(folder))
        yield
