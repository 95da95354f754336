"""Compiled programs on disk, so that a second start need not compile them again."""

import contextlib
import os
import warnings
from pathlib import Path

import jax
import pooch

from nstjax.io.atomic import nearest_folder

MOST_BYTES = 2**31


def keep_compiled_programs() -> None:
    """Have JAX keep what it compiles in the user's cache folder, made with the first.

    Beyond 2 GiB what was not used for longest is removed. Does nothing if JAX is given
    a folder by ``JAX_COMPILATION_CACHE_DIR`` or cannot make one. JAX's warnings of
    files that it can neither read nor write are silenced in either case.
    """
    # What cannot be read is compiled again, and what cannot be written is not kept.
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation")
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = Path(pooch.os_cache("nstjax")) / "compiled"
    nearest = nearest_folder(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return
    _remove_unfinished(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _remove_unfinished(folder: Path) -> None:
    """Remove programs without a time of use: beside one JAX can write no others."""
    for program in folder.glob("*-cache"):
        if not Path(f"{str(program).removesuffix('-cache')}-atime").exists():
            with contextlib.suppress(OSError):
                program.unlink()
