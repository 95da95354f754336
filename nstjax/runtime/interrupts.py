"""Ctrl-C, SIGTERM and SIGHUP, from a command's first line to its last.

In the main thread a signal is only noted: an exception between any two instructions
would break what a library is about to do. A thread of its own, which runs on while XLA
compiles, answers at once. It tells what is being saved, or ends the process where there
is nothing to save and where Ctrl-C is pressed again.
"""

import contextlib
import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

COMMANDS = ("nstjax", "nstjax-fast", "nstjax-studio")
PACKAGES = ("nstjax", "experiments", "weights_convert")
SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none
NUMBERS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, SIGHUP)))
# What is sent to a command in the background, too, is meant.
NOT_IGNORED = (signal.SIGINT, signal.SIGTERM)
# A shell and the kernel, or timeout(1) and its process group, send a signal twice.
TWICE_SECONDS = 0.05


class _Signals:
    """What has come to a command, and what the next signal does."""

    heeded = False  # whether signals come here
    advice = ""  # what is said where the process ends at once
    promise: str | None = None  # the first signal's answer, where it only asks
    received: int | None = None  # the first signal
    answered = False  # whether it has been
    ended = False  # whether signals change nothing any more
    child: subprocess.Popen[Any] | None = None  # the process that answers instead

    def __init__(self, name: str) -> None:
        self.name = name  # what lines begin with


_signals = _Signals("nstjax")
_cleanups: list[Callable[[], None]] = []
_lock = threading.RLock()


@contextlib.contextmanager
def heeded(name: str) -> Iterator[None]:
    """Heed signals while a command of that name runs."""
    global _signals
    if _signals.heeded or threading.current_thread() is not threading.main_thread():
        _signals.name = name
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    _signals = _Signals(name)
    fd = _heed()
    try:
        yield
    finally:
        _signals.heeded = False
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)


def heed_signals_of_a_command() -> None:
    """Heed signals from here on if this process was started as one of our commands.

    What it imports takes seconds, in which a signal would end in a traceback.
    """
    ours = Path(*sys.argv[:1]).stem in COMMANDS
    if sys.argv[:1] == ["-m"] and "-m" in sys.orig_argv[:-1]:
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
        ours = module.partition(".")[0] in PACKAGES
    if ours:
        _heed()


def heed_signals_again() -> None:
    """Take the signals back from a library that has set a handler of its own."""
    if _signals.heeded:
        for number in NUMBERS:
            # nohup has SIGHUP ignored.
            if number in NOT_IGNORED or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _note)


def requested() -> bool:
    """Whether a signal has asked this process to end."""
    return _signals.received is not None


def exit_status(status: int) -> int:
    """The status to exit with instead of the command's; then signals change nothing."""
    with _lock:
        if _signals.heeded:
            _signals.ended = True
            for number in NUMBERS:
                signal.signal(number, signal.SIG_IGN)
        if _signals.received is None:
            return status
        if not _signals.answered:
            _say("interrupted")
        return 128 + _signals.received


def advise(advice: str) -> None:
    """Say this where a signal ends the process at once, from here on."""
    _signals.advice = advice


@contextlib.contextmanager
def saving_on_interrupt(promise: str) -> Iterator[Callable[[], None]]:
    """Have the first signal only ask the block to end, once there is something to save.

    The promise, such as "stopping after this step", is said when the signal comes.
    Before that, and when Ctrl-C is pressed again, the process ends at once. Yields what
    to call once there is something to save.
    """

    def begin() -> None:
        with _lock:
            _signals.promise = promise

    try:
        yield begin
    finally:
        with _lock:
            # One that has come and is not answered yet must not end what follows.
            if _signals.received is None:
                _signals.promise = None


def undisturbed() -> contextlib.AbstractContextManager[object]:
    """Have no signal end the process at once within the block.

    What is to be cleaned up is made in there: once the process ends, no more is made.
    """
    return _lock


@contextlib.contextmanager
def cleaned_up(cleanup: Callable[[], None]) -> Iterator[None]:
    """Have this done where a signal ends the process at once within the block."""
    with _lock:
        _cleanups.append(cleanup)
    try:
        yield
    finally:
        with _lock:
            _cleanups.remove(cleanup)


def run_child(
    command: Sequence[str], **options: Any
) -> subprocess.CompletedProcess[Any]:
    """``subprocess.run`` of another command of ours, which answers signals instead.

    Where one has come, ``SystemExit`` follows the end of the other command.
    """
    with undisturbed():
        # In a process group of its own it gets Ctrl-C from here alone.
        child = _signals.child = subprocess.Popen(command, process_group=0, **options)
    with child:
        try:
            out, err = child.communicate()
        finally:
            _signals.child = None
    if _signals.received is not None:
        raise SystemExit(128 + _signals.received)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _heed() -> int:
    """Have signals come here; returns the descriptor that was told of them before."""
    _signals.heeded = True
    heed_signals_again()
    return signal.set_wakeup_fd(_watched_descriptor(), warn_on_full_buffer=False)


@functools.cache
def _watched_descriptor() -> int:
    """Open for as long as the process lives; a thread answers what is written to it."""
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    threading.Thread(target=_watch, args=[receiver], daemon=True).start()
    return sender.detach()


def _note(number: int, frame: object) -> None:
    del frame
    if _signals.received is None:
        _signals.received = number
    if number == SIGHUP:
        _leave_terminal()


def _watch(receiver: socket.socket) -> None:
    while True:
        number, signals = receiver.recv(1)[0], _signals
        if number in NUMBERS:
            time.sleep(TWICE_SECONDS)
            receiver.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                receiver.recv(64)
            receiver.setblocking(True)
            # A command that ended meanwhile must not end the next one.
            if signals is _signals:
                _answer(number)


def _answer(number: int) -> None:
    with _lock:
        if _signals.ended or not _signals.heeded:
            return
        first = not _signals.answered
        _signals.answered = True
        _signals.received = _signals.received or number
        pressed = number == signal.SIGINT
        if _signals.child is not None:
            _signals.child.send_signal(number)
        elif _signals.promise is None or (pressed and not first):
            _end_at_once(number)
        elif first:
            again = "; press Ctrl-C again to stop now" if pressed else ""
            _say(f"{_signals.promise}{again}")


def _end_at_once(number: int) -> None:
    """End the process without Python's own end, which XLA's threads do not survive."""
    _say(f"interrupted{_signals.advice and '; ' + _signals.advice}")
    for cleanup in reversed(_cleanups):
        with contextlib.suppress(Exception):
            cleanup()
    os._exit(128 + number)


def _say(text: str) -> None:
    # The main thread may be in the middle of a line, and may hold the stream's lock.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    start = "\n" if len(getattr(tqdm, "_instances", ())) else ""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), f"{start}{_signals.name}: {text}\n".encode())


def _leave_terminal() -> None:
    """Write to nowhere what would go to a terminal that is gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


heed_signals_of_a_command()
