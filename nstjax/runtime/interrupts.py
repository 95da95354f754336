"""Ctrl-C, SIGTERM and SIGHUP, from a command's first line to its last.

In the main thread a signal is only noted: an exception between any two instructions
would break what a library is about to do. A thread of its own, which runs on while XLA
compiles, answers at once. It tells what is being saved, or ends the process where there
is nothing to save and where Ctrl-C is pressed again.
"""

import contextlib
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

COMMANDS = ("nstjax", "nstjax-fast")
PACKAGES = ("nstjax", "experiments", "weights_convert")
# Windows has no SIGHUP.
NUMBERS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)
# What is sent to a command in the background, too, is meant.
NOT_IGNORED = (signal.SIGINT, signal.SIGTERM)
# A shell and the kernel, or timeout(1) and its process group, send a signal twice.
TWICE_SECONDS = 0.05


class _Signals:
    """What has come, and what the next one does.

    Attributes:
      name: what lines begin with.
      advice: what is said where the process ends at once.
      promise: what the first signal is answered with, where it only asks.
      received: the first signal.
      answered: whether it has been answered.
      ended: whether the command has, so that signals change nothing any more.
      heeded: whether signals come here.
      child: the process that answers instead.
      command: which of a process's commands this is.
    """

    def __init__(self) -> None:
        self.name = "nstjax"
        self.heeded = False
        self.wakeup: int | None = None
        self.cleanups: dict[object, Callable[[], None]] = {}
        self.lock = threading.RLock()
        self.command = 0
        self.reset()

    def reset(self) -> None:
        self.command += 1
        self.advice = ""
        self.promise: str | None = None
        self.received: int | None = None
        self.answered = self.ended = False
        self.child: subprocess.Popen[Any] | None = None


_signals = _Signals()


@contextlib.contextmanager
def heeded(name: str) -> Iterator[None]:
    """Heed signals while a command runs.

    Args:
      name: what lines begin with.
    """
    _signals.name = name
    if _signals.heeded or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    _signals.reset()
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
    if sys.argv[:1] == ["-m"] and "-m" in sys.orig_argv[:-1]:
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
        ours = module.partition(".")[0] in PACKAGES
    else:
        ours = Path(*sys.argv[:1]).stem in COMMANDS
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
    """The status to exit with; from here on signals change nothing.

    Args:
      status: of the command, where no signal came.
    """
    with _signals.lock:
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

    Before that, and when Ctrl-C is pressed again, the process ends at once.

    Args:
      promise: what is said when the signal comes, such as "stopping after this step".

    Yields:
      What to call once there is something to save.
    """

    def begin() -> None:
        with _signals.lock:
            _signals.promise = promise

    try:
        yield begin
    finally:
        with _signals.lock:
            # One that has come and is not answered yet must not end what follows.
            if _signals.received is None:
                _signals.promise = None


def undisturbed() -> contextlib.AbstractContextManager[object]:
    """Have no signal end the process at once within the block.

    What is to be cleaned up is made in there: once the process ends, no more is made.
    """
    return _signals.lock


@contextlib.contextmanager
def cleaned_up(cleanup: Callable[[], None]) -> Iterator[None]:
    """Have this done where a signal ends the process at once within the block."""
    key = object()
    with _signals.lock:
        _signals.cleanups[key] = cleanup
    try:
        yield
    finally:
        with _signals.lock:
            del _signals.cleanups[key]


def run_child(
    command: Sequence[str], **options: Any
) -> subprocess.CompletedProcess[Any]:
    """``subprocess.run`` of another command of ours, which answers signals instead.

    Raises:
      SystemExit: a signal has come, and the other command has ended.
    """
    with contextlib.ExitStack() as stack:
        with undisturbed():
            # In a process group of its own it gets Ctrl-C from here alone.
            child = stack.enter_context(
                subprocess.Popen(command, process_group=0, **options)
            )
            _signals.child = child
        try:
            out, err = child.communicate()
        finally:
            _signals.child = None
    if _signals.received is not None:
        raise SystemExit(128 + _signals.received)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _heed() -> int:
    """Have signals come here; returns the descriptor that was told of them before."""
    if _signals.wakeup is None:
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        # Open for as long as the process lives.
        _signals.wakeup = sender.detach()
        threading.Thread(target=_watch, args=[receiver], daemon=True).start()
    _signals.heeded = True
    heed_signals_again()
    return signal.set_wakeup_fd(_signals.wakeup, warn_on_full_buffer=False)


def _note(number: int, frame: object) -> None:
    del frame
    if _signals.received is None:
        _signals.received = number
    if number == getattr(signal, "SIGHUP", None):
        _leave_terminal()


def _watch(receiver: socket.socket) -> None:
    while True:
        number = receiver.recv(1)[0]
        if number in NUMBERS:
            command = _signals.command
            time.sleep(TWICE_SECONDS)
            receiver.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                receiver.recv(64)
            receiver.setblocking(True)
            # A command that ended meanwhile must not end the next one.
            if command == _signals.command:
                _answer(number)


def _answer(number: int) -> None:
    with _signals.lock:
        first = not _signals.answered
        if _signals.ended or not _signals.heeded:
            return
        _signals.received = _signals.received or number
        if _signals.child is not None:
            _signals.answered = True
            _signals.child.send_signal(number)
        elif _signals.promise is None:
            _end_at_once(number)
        elif first:
            _signals.answered = True
            again = (
                "; press Ctrl-C again to stop now" if number == signal.SIGINT else ""
            )
            _say(f"{_signals.promise}{again}")
        elif number == signal.SIGINT:
            _end_at_once(number)


def _end_at_once(number: int) -> None:
    """End the process without Python's own end, which XLA's threads do not survive."""
    _say(f"interrupted{_signals.advice and '; ' + _signals.advice}")
    for cleanup in reversed(_signals.cleanups.values()):
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
