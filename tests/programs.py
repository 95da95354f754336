"""Programs of the project, run in this process or each in one of its own."""

import contextlib
import io
import logging
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import warnings
from unittest import mock

import jax
from absl import flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = ("nstjax", "experiments", "weights_convert")
LOGGERS = [logging.getLogger(name) for name in (None, "absl", "nstjax")]
# Runs a program, which gets a signal at the end of one call of a function.
SIGNALED = """
import os, pkgutil, runpy, sys
from unittest import mock

number, function, count, module, *arguments = sys.argv[1:]
original = pkgutil.resolve_name(function)
calls = []

def last(*arguments, **options):
    result = original(*arguments, **options)
    calls.append(result)
    if len(calls) == int(count):
        os.kill(os.getpid(), int(number))
    return result

sys.argv = [module, *arguments]
with mock.patch(function, last):
    runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def run_here(module: str, *arguments: object) -> tuple[int, str, str]:
    """Run a program in this process: its status, and what it wrote to out and err.

    Its module runs anew, as ``python -m`` does it and with flags of its own.
    """
    # What is imported by another module only once defines its flags only once.
    module = {"nstjax": "nstjax.commands.nstjax"}.get(module, module)
    status: int | str | None = None
    argv = [module, *map(str, arguments)]
    with process_kept(), captured() as texts, mock.patch.object(sys, "argv", argv):
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as ended:
            status = ended.code
    out, err = texts
    # Python prints a text that a program exits with.
    if isinstance(status, str):
        return 1, out, f"{err}{status}\n"
    return status or 0, out, err


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start Python with these arguments, as a process of its own."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **options.pop("env", {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextlib.contextmanager
def children_here(*left_out: str):
    """Programs that a program starts run in this process, too, but for these."""

    def run_child(command, *, cwd=".", stderr=None, text=None):
        python, dash_m, module, *arguments = command
        assert (python, dash_m) == (sys.executable, "-m")
        status, out, err = 0, "", ""
        if module not in left_out:
            with contextlib.chdir(cwd):
                status, out, err = run_here(module, *arguments)
        print(out, end="")
        if stderr is None:
            print(err, end="", file=sys.stderr)
        return subprocess.CompletedProcess(command, status, out, err)

    with mock.patch("nstjax.runtime.interrupts.run_child", run_child):
        yield


@contextlib.contextmanager
def process_kept():
    """A program owns its process: what it sets for good is put back at the end."""
    outer = flags_of_ours()
    for name in outer:
        delattr(flags.FLAGS, name)
    settings = jax.config.values.copy()
    logs = [(log, [*log.handlers], log.level, log.propagate) for log in LOGGERS]
    try:
        with warnings.catch_warnings():
            # The module may have been imported for its functions.
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            yield
    finally:
        for log, before, level, propagate in logs:
            log.handlers, log.propagate = before, propagate
            log.setLevel(level)
        changed = jax.config.values
        for name, value in settings.items():
            if changed[name] != value:
                jax.config.update(name, value)
        for name in flags_of_ours():
            delattr(flags.FLAGS, name)
        for name, flag in outer.items():
            flags.FLAGS[name] = flag


def flags_of_ours() -> dict[str, flags.Flag]:
    """Those that programs define, all in one place and by the same names."""
    module_of = flags.FLAGS.find_module_defining_flag
    return {
        name: flags.FLAGS[name]
        for name in flags.FLAGS
        # One that was put back has no module.
        if module_of(name, OURS[0]).startswith(OURS)
    }


@contextlib.contextmanager
def captured():
    """What is written, in the end: also by child processes and by libraries in C."""
    texts: list[str] = []
    with contextlib.ExitStack() as stack:
        files = [
            io.TextIOWrapper(
                stack.enter_context(tempfile.TemporaryFile(buffering=0)),
                encoding="utf-8",
                newline="",
                write_through=True,
            )
            for _ in range(2)
        ]
        stack.enter_context(contextlib.redirect_stdout(files[0]))
        stack.enter_context(contextlib.redirect_stderr(files[1]))
        for number, file in enumerate(files, 1):
            before = os.dup(number)
            stack.callback(os.close, before)
            stack.callback(os.dup2, before, number)
            os.dup2(file.fileno(), number)
        try:
            yield texts
        finally:
            for file in files:
                file.seek(0)
                texts.append(file.read())
