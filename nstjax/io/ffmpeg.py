"""The ffmpeg program: finding it, running it, and why it has failed."""

import contextlib
import errno
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from nstjax.errors import EncodingError, InputError
from nstjax.io.paths import StrPath
from nstjax.runtime.interrupts import cleaned_up, undisturbed

# What another folder may not have.
DISK_ERRORS = [errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES]
DISK_ERRORS += [errno.EPERM, errno.ENOENT, getattr(errno, "EDQUOT", errno.ENOSPC)]


def find_ffmpeg(path: StrPath) -> str:
    """The ffmpeg program of imageio-ffmpeg, which is needed for a path."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    # Where there is no wheel with ffmpeg, it raises RuntimeError.
    except (ImportError, RuntimeError):
        raise InputError(
            f"{path} needs imageio-ffmpeg: pip install 'nstjax[video]'"
        ) from None


def run_ffmpeg(path: StrPath, *arguments: str) -> tuple[str, str]:
    """What ffmpeg says, and what it writes to standard output."""
    done = subprocess.run(
        [find_ffmpeg(path), "-hide_banner", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        process_group=0,
    )
    return done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace")


@contextlib.contextmanager
def running(
    path: StrPath, arguments: list[str], **pipe: int
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """An ffmpeg that ends with the block, and the file of its error messages."""
    # imageio-ffmpeg's own reader and writer fork, which JAX's threads do not survive,
    # and do not tell when ffmpeg fails.
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, **pipe}
    command = [find_ffmpeg(path), "-v", "error", *arguments]
    with contextlib.ExitStack() as stack:
        messages = stack.enter_context(tempfile.TemporaryFile())
        with undisturbed():
            # Ctrl-C is for this process alone, which ends the other one.
            process = stack.enter_context(
                subprocess.Popen(command, stderr=messages, process_group=0, **streams)
            )
            stack.enter_context(cleaned_up(process.kill))
        try:
            yield process, messages
        finally:
            process.kill()
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


def complaint(messages: IO[bytes]) -> str:
    """What ffmpeg says first; what follows from it comes after."""
    messages.seek(0)
    said = messages.read().decode(errors="replace").strip()
    return re.sub(r"^(\[.*?\] )+", "", said.partition("\n")[0])


def failure(path: StrPath, status: int, messages: IO[bytes]) -> OSError:
    """Why an ffmpeg has failed to write."""
    said = complaint(messages) or "ffmpeg crashed"
    for number in DISK_ERRORS:
        # On a full disk there may be no messages either.
        if status == 256 - number or os.strerror(number) in said:
            return OSError(number, os.strerror(number), str(path))
    return EncodingError(f"{path} cannot be written: {said}")


def url(path: StrPath) -> str:
    """A path for ffmpeg: it may begin with a dash, or look like a protocol."""
    return f"file:{os.fspath(path)}"
