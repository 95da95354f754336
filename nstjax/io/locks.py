"""What one process holds on disk, and what is left of one that was killed.

A lock is a file that its process keeps locked. The kernel frees it when the process
ends, however that happens: what a dead one has left is recognized by its lock, and
never by its name alone.
"""

import contextlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator
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
NEW, PREVIEW = "new", "preview.png"


@contextlib.contextmanager
def held(lock: Path, what: str, otherwise: str) -> Iterator[None]:
    """Hold a lock file for the block; the folders that it takes are made.

    Those that stay empty are removed with it. Where another process holds it, the
    message says what is in use, and what to do.
    """
    made = [folder for folder in lock.parents if not folder.exists()]
    files: list[BinaryIO] = []

    def leave() -> None:
        if files:
            lock.unlink(missing_ok=True)
            files.pop().close()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()

    with cleaned_up(leave):
        try:
            with undisturbed():
                lock.parent.mkdir(parents=True, exist_ok=True)
                file = _take(lock, create=True)
                if file is None:
                    holder = _holder(lock)
                    raise InputError(f"{what} is in use by {holder}: {otherwise}")
                files.append(file)
            _sign(file)
            yield
        finally:
            leave()


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
    """Make a folder that nobody else has, and remove it when the block ends.

    Yields whether it could be made: it must not be there yet, unless a dead process has
    left it.
    """
    _remove_if_dead(folder)
    files: list[BinaryIO] = []

    def leave() -> None:
        if files:
            _remove(folder)
            files.pop().close()

    with cleaned_up(leave):
        try:
            with undisturbed(), contextlib.suppress(FileExistsError):
                folder.mkdir()
                # Another process may take it for dead before it is locked.
                with contextlib.suppress(FileNotFoundError):
                    if file := _take(folder / LOCK, create=True):
                        files.append(file)
                        _sign(file)
            yield bool(files)
        finally:
            leave()


def remove_dead(folder: Path) -> None:
    """Remove the folders of ours that dead processes have left in a folder."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if OURS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _remove_if_dead(Path(entry.path))


def _remove_if_dead(folder: Path) -> None:
    with contextlib.suppress(OSError, InputError):
        if folder.is_symlink():
            return
        names = os.listdir(folder)
        if not names:
            folder.rmdir()
        if LOCK not in names or fcntl is None:
            return
        file = _take(folder / LOCK, create=False)
        if file is not None:
            with file:
                text = file.read()
                # One that was killed before it signed has written nothing else.
                if text.startswith(MARK) or (names == [LOCK] and not text):
                    _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder of ours, but not what somebody else has put there."""
    remove_dead(folder)
    # While the process is ended, its main thread may still write.
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
    """Open a lock file, and nothing that somebody else has put in its place.

    It is emptied and removed later: a folder that was sent around may hold a link of
    its name, to any file.
    """

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


def _holder(lock: Path) -> str:
    text = lock.read_bytes()
    return text.removeprefix(MARK).decode(errors="replace").strip() or "another process"
