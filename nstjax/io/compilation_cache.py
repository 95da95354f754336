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
    """Have JAX keep what it compiles in the user's cache folder, up to 2 GiB.

    Does nothing if ``JAX_COMPILATION_CACHE_DIR`` gives JAX a folder, or it cannot make
    one.
    """
    # What cannot be read is compiled again, and what cannot be written is not kept.
    warnings.filterwarnings("ignore", r"Error (read|writ)ing persistent compilation")
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = Path(pooch.os_cache("nstjax")) / "compiled"
    nearest = nearest_folder(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return
    # Beside a program without a time of use JAX can write no others.
    for program in folder.glob("*-cache"):
        if not Path(f"{str(program).removesuffix('-cache')}-atime").exists():
            with contextlib.suppress(OSError):
                program.unlink()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
