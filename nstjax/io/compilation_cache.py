"""Compiled programs on disk, so that a second start need not compile them again."""

import contextlib
import os
import time
import warnings
from pathlib import Path

import jax
import pooch

from nstjax.io.atomic import nearest_folder

KEPT_SECONDS = 30 * 24 * 3600.0


def keep_compiled_programs() -> None:
    """Have JAX keep what it compiles in the user's cache folder.

    Programs older than a month are removed, so that the folder does not grow forever
    and a file that a killed run left half-written does not stay. Does nothing if JAX
    is given a folder by ``JAX_COMPILATION_CACHE_DIR`` or cannot make one. It is made
    with the first program. JAX's warnings of files that it can neither read nor write
    are silenced in either case.
    """
    # What cannot be read is compiled again, and what cannot be written is not kept.
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation")
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = Path(pooch.os_cache("nstjax")) / "compiled"
    nearest = nearest_folder(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return
    _remove_old_files(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _remove_old_files(folder: Path) -> None:
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()
