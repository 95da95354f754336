"""What every command of the project does around its main function.

Errors that a person can mend become one line on standard error and an exit status;
programming errors keep their traceback.
"""

import contextlib
import dataclasses
import io
import logging
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, TextIO, cast, get_args

from absl import app, flags
from absl import logging as absl_logging
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io.compilation_cache import keep_compiled_programs
from nstjax.io.paths import expand_home
from nstjax.io.transparency import Transparency
from nstjax.optimization.steps import NonFiniteLossError
from nstjax.runtime.interrupts import exit_status, heeded
from nstjax.runtime.memory import keep_freed_memory
from nstjax.runtime.processes import join_processes

USAGE_STATUS = 2
FAILURE_STATUS = 1
INTERRUPTED_STATUS = 130
# What this module defines belongs to the command that asks for it.
flags.disclaim_key_flags()
HELP_FLAGS = {"-h", "-help", "--help", "--helpshort", "--helpfull"}
VERSION_FLAGS = {"-version", "--version"}
# What Python and absl say of a flag, for people.
PLAIN_WORDS = {
    r"(?s)invalid literal for int\(\).*": "give a whole number",
    r"(?s)could not convert string to float.*": "give a number",
    r" \?$": "?",
}
# In a file's name they could move the cursor or clear the screen.
CONTROL_CHARACTERS = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")


def run_command(
    name: str, module: str, usage: str, main: Callable[[Sequence[str]], int]
) -> None:
    """Parse the flags, run ``main`` and exit with its status.

    Error lines begin with ``name``; ``--help`` prints ``usage`` and the flags that
    ``module`` defines; ``main`` takes the arguments that are no flags.
    """

    def report(message: object, status: int) -> int:
        line = printable(" ".join(str(message).split()))
        print(f"{name}: error: {line}", file=sys.stderr)
        return status

    def parse(arguments: Sequence[str]) -> list[str]:
        if HELP_FLAGS & set(arguments):
            print(f"{usage.strip()}\n{flags.FLAGS.module_help(module)}")
            sys.exit(0)
        if VERSION_FLAGS & set(arguments):
            print(f"nstjax {version('nstjax')}")
            sys.exit(0)
        try:
            return flags.FLAGS(_with_underscores(arguments))
        # absl raises ValueError for --nofoo=3.
        except (flags.Error, ValueError) as error:
            line = str(error)
            for words, plain in PLAIN_WORDS.items():
                line = re.sub(words, plain, line)
            sys.exit(report(line, USAGE_STATUS))

    def guarded(arguments: Sequence[str]) -> int:
        try:
            with contextlib.redirect_stdout(cast(TextIO, _Printable(sys.stdout))):
                return main(list(map(expand_home, arguments[1:])))
        except InputError as error:
            return report(error, USAGE_STATUS)
        except NonFiniteLossError as error:
            return report(error, FAILURE_STATUS)
        except OSError as error:
            what, why = error.filename, error.strerror or error
            told = f"{what} cannot be read or written: {why}" if what else why
            return report(told, USAGE_STATUS)

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What is printed is not lost where a signal ends the process at once.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    keep_freed_memory()
    keep_compiled_programs()
    _send_notes_to_stderr(name)
    # JAX tells at this level which accelerators it did not find.
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Matplotlib warns of each family of its own that a damaged font cache lacks.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with heeded(name):
        try:
            app.run(guarded, flags_parser=parse)
        except SystemExit as ended:
            if isinstance(ended.code, str):
                raise
            raise SystemExit(exit_status(ended.code or 0)) from None
        except BrokenPipeError as error:
            # Whoever reads --help has seen enough.
            raise SystemExit(report(error.strerror, USAGE_STATUS)) from None


def _with_underscores(arguments: Sequence[str]) -> list[str]:
    """The arguments with --style-loss as --style_loss, and --no-clamp as --noclamp."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [*map(_with_underscore, arguments[:end]), *arguments[end:]]


def _with_underscore(argument: str) -> str:
    given, sign, value = argument.partition("=")
    name = given.removeprefix("--").replace("-", "_")
    if not given.startswith("--"):
        return argument
    if name.startswith("no_") and name not in flags.FLAGS:
        name = f"no{name[3:]}"
    known = name in flags.FLAGS or name.removeprefix("no") in flags.FLAGS
    return f"--{name}{sign}{value}" if known else argument


def flag_values(kind: type) -> dict[str, Any]:
    """The values of the flags that are named as fields of a dataclass."""
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: flags.FLAGS[name].value for name in names if name in flags.FLAGS}


def define_picture_flags() -> None:
    """Define the flags of a command that makes pictures of photos."""
    flags.DEFINE_enum(
        "transparency",
        "flatten",
        get_args(Transparency),
        "Transparent parts of a photo: put on white, or kept in the result.",
    )
    text = "Quality of JPEG and WebP images."
    flags.DEFINE_integer("quality", 95, text, lower_bound=1, upper_bound=100)
    flags.DEFINE_boolean("quiet", False, "Show no progress bar.")


def define_process_flags() -> None:
    """Define the flags of a command that can run as several processes."""
    flags.DEFINE_string(
        "coordinator",
        None,
        "HOST:PORT of the first of several processes; auto on Slurm, Open MPI or TPU.",
    )
    flags.DEFINE_integer("num_processes", None, "How many processes there are.")
    flags.DEFINE_integer("process_id", None, "Which process this is, from 0.")
    flags.DEFINE_integer(
        "coordinator_timeout", 300, "Seconds to wait for the other processes."
    )


def join_processes_of_flags() -> None:
    """Join the processes that the flags tell of, before JAX's first operation."""
    names = ("coordinator", "num_processes", "process_id", "coordinator_timeout")
    values: list[Any] = [flags.FLAGS[name].value for name in names]
    join_processes(*values)


def printable(text: str) -> str:
    """The text with escapes in place of characters that control a terminal."""
    return CONTROL_CHARACTERS.sub(lambda found: ascii(found[0])[1:-1], text)


class _Printable:
    """A stream that takes no control characters, whatever a file's name holds."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Notes(logging.StreamHandler[Any]):
    """Each line on one of its own, and the progress bar drawn anew below."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def _send_notes_to_stderr(name: str) -> None:
    handler = _Notes()
    handler.setFormatter(logging.Formatter(f"{name}: note: %(message)s"))
    logger = logging.getLogger("nstjax")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
