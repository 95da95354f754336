"""Writing a file whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".nstjax-"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block succeeds.

    Whoever reads ``path`` sees the old file or the complete new one, never a part.
    When the block fails, for whatever reason, the temporary file is removed and the
    old file is left as it was.

    Args:
      path: the file to write; a symbolic link is followed, not replaced.

    Yields:
      A path in the same folder with the same suffix, where no file exists yet.

    Raises:
      OSError: the block wrote no file, or it cannot be put in place.
    """
    final = Path(path).resolve()
    # tempfile would create the file readable by its owner only; a file that the block
    # itself creates gets the permissions that any other output gets.
    temporary = final.with_name(
        f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{final.suffix}"
    )
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            # Whoever reads the message knows the file by its final name.
            raise OSError(error.errno, error.strerror, str(final)) from error
        raise
