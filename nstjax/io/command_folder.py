"""Working folders of commands that make several files without a run's own log."""

from collections.abc import Sequence
from pathlib import Path

from nstjax.errors import InputError
from nstjax.io.atomic import check_new, check_unlinked
from nstjax.io.runlog import CONFIG, read_config, write_config


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
