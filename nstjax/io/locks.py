"""What one process holds on disk, and what is left of one that was killed.

A lock is a file that its process keeps locked, until the kernel frees it: what a dead
one has left is recognized by its lock, and never by its name alone.
"""

import contextlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from nstjax.errors import InputError
from nstjax.runtime.interrupts import cleaned_up, undisturbed

try:
    import fcntl
except ImportError:  # on Windows, where nobody is kept out and nothing found dead
    fcntl = None  # type: ignore[assignment]

LOCK = ".nstjax-lock"
MARK = b"nstjax: "
PREVIEW_FOLDER = ".nstjax-preview"
OURS = re.compile(rf"\..*\.nstjax-[0-9a-f]{{16}}|.*{re.escape(PREVIEW_FOLDER)}")
# The files that are written into folders of ours.
NEW, PREVIEW = "new", "preview.jpg"


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it in the end if nothing has come into it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]

    def leave() -> None:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()

    with _ended_by(leave):
        with undisturbed():
            folder.mkdir(parents=True, exist_ok=True)
        yield


@contextlib.contextmanager
def held(lock: Path, what: str, otherwise: str) -> Iterator[None]:
    """Hold a lock file for the block; the folders that it takes are made.

    Where another process holds it, the message says what is in use, and what to do.
    """
    with made(lock.parent), _locks(lambda: lock.unlink(missing_ok=True)) as locks:
        with undisturbed():
            file = _take(lock, create=True)
            if file is None:
                text = lock.read_bytes().removeprefix(MARK).decode(errors="replace")
                holder = text.strip() or "another process"
                raise InputError(f"{what} is in use by {holder}: {otherwise}")
            locks.append(file)
        _sign(file)
        yield


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Hold a working folder, and remove what a killed run has half-written there."""
    otherwise = "wait until it ends, or choose another --workdir"
    with held(folder / LOCK, str(folder), otherwise):
        for path in [folder, *folder.glob("*/")]:
            remove_dead(path)
        yield


@contextlib.contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """Make a hidden folder beside a file for as long as the block lasts."""
    while True:
        token = secrets.token_hex(8)
        folder = beside.with_name(f".{beside.name[:40]}.nstjax-{token}")
        with own_folder(folder) as own:
            if own:
                yield folder
                return


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[bool]:
    """Make a folder, or take over a dead process's leftover, and remove it in the end.

    Yields whether it could be made.
    """
    _remove_if_dead(folder)
    with _locks(lambda: _remove(folder)) as locks:
        with undisturbed(), contextlib.suppress(FileExistsError):
            folder.mkdir()
            # Another process may take it for dead before it is locked.
            with contextlib.suppress(FileNotFoundError):
                if file := _take(folder / LOCK, create=True):
                    locks.append(file)
                    _sign(file)
        yield bool(locks)


def remove_dead(folder: Path) -> None:
    """Remove what dead processes have left in a folder: folders of ours."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if OURS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _remove_if_dead(Path(entry.path))


@contextlib.contextmanager
def _ended_by(leave: Callable[[], None]) -> Iterator[None]:
    """Call ``leave`` when the block or the process ends."""
    with cleaned_up(leave):
        try:
            yield
        finally:
            leave()


@contextlib.contextmanager
def _locks(remove: Callable[[], None]) -> Iterator[list[BinaryIO]]:
    """Yield a list for the lock file that the block takes, and remove it in the end."""
    files: list[BinaryIO] = []

    def leave() -> None:
        if files:
            remove()
            files.pop().close()

    with _ended_by(leave):
        yield files


def _remove_if_dead(folder: Path) -> None:
    with contextlib.suppress(OSError, InputError):
        if folder.is_symlink():
            return
        names = os.listdir(folder)
        if not names:
            folder.rmdir()
        if LOCK not in names or fcntl is None:
            return
        if file := _take(folder / LOCK, create=False):
            with file:
                text = file.read()
                # One that was killed before it signed has written nothing else.
                if text.startswith(MARK) or (names == [LOCK] and not text):
                    _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder of ours, but not what somebody else has put there."""
    remove_dead(folder)
    # While a signal ends the process, its main thread may still write.
    for _ in range(3):
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name in (LOCK, PREVIEW) or Path(name).stem == NEW:
                    (folder / name).unlink()
            folder.rmdir()


def _take(lock: Path, *, create: bool) -> BinaryIO | None:
    """Open a lock file and lock it; None where another process has it, or had it."""
    file = _open(lock, create=create)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who had it may have removed it meanwhile.
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        # This file system has no locks: nobody is kept out, and nothing found dead.
        if create:
            return file
    file.close()
    return None


def _open(lock: Path, *, create: bool) -> BinaryIO:
    """Open a lock file, which is emptied later: no link, and nothing of anybody's."""

    def open_itself(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    try:
        file = open(lock, "a+b" if create else "r+b", opener=open_itself)  # noqa: SIM115
        found = os.fstat(file.fileno())
        file.seek(0)
        # Before it is signed it is empty.
        own = file.read(len(MARK)) in (b"", MARK) and found.st_nlink <= 1
        if own and stat.S_ISREG(found.st_mode):
            file.seek(0)
            return file
        file.close()
    except OSError:
        # A link is not opened, and a pipe is no file for reading and writing.
        if not os.path.lexists(lock) or stat.S_ISREG(os.lstat(lock).st_mode):
            raise
    raise InputError(f"{lock} is no lock of nstjax: move it away, then try again")


def _sign(file: BinaryIO) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    who = f"process {os.getpid()} on {socket.gethostname()} since {now}\n"
    file.truncate(0)
    file.write(MARK + who.encode())
    file.flush()
