"""Times a start of the command, from the shell to the first step's picture.

    python -m experiments.benchmarks.startup --repeats=3

``first`` has an empty folder of compiled programs, ``second`` the same folder again;
``import`` is Python with nstjax and nothing else. They take turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import skimage.data
from absl import flags

from experiments.benchmarks.flag_values import no_arguments
from experiments.benchmarks.tables import print_rows, write_json
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.demo import stained_glass
from nstjax.io.images import read_image, write_image

USAGE = __doc__ or ""
FIRST_STEP = ("--steps=1", "--quiet", "--preview_seconds=0")

_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)
_SIZE = flags.DEFINE_string("size", "256", "As nstjax takes it.")
_WEIGHTS = define_path("weights", "slim", "As nstjax takes them.")
_OUTPUT = define_path("output", None, "JSON file for the numbers.")


def run_python(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds that Python takes with these arguments.

    Raises:
      InputError: it failed; it has said why.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        raise InputError(f"{' '.join(arguments)} failed")
    return time.perf_counter() - start


def table(size: str, weights: str, repeats: int) -> list[dict[str, Any]]:
    """A row for each kind of start, printed at the end."""
    seconds: dict[str, list[float]] = {"import": [], "first": [], "second": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            environment = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
            environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            write_image(f"{folder}/photo.png", read_image(skimage.data.chelsea()))
            write_image(f"{folder}/painting.png", stained_glass())
            command = [
                *("-m", "nstjax", f"{folder}/photo.png", f"{folder}/painting.png"),
                *FIRST_STEP,
                f"--size={size}",
                f"--weights={weights}",
                f"--output={folder}/out.png",
            ]
            seconds["import"].append(run_python(["-c", "import nstjax"], environment))
            seconds["first"].append(run_python(command, environment))
            seconds["second"].append(run_python(command, environment))
    rows = [
        {
            "start": name,
            "seconds": statistics.median(all_seconds),
            "of the first": statistics.median(
                second / first
                for second, first in zip(all_seconds, seconds["first"], strict=True)
            ),
        }
        for name, all_seconds in seconds.items()
    ]
    print_rows(
        f"Start of nstjax PHOTO PAINTING --steps=1 --size={size}, {weights}", rows
    )
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    no_arguments(arguments)
    rows = table(_SIZE.value, _WEIGHTS.value, _REPEATS.value)
    write_json(_OUTPUT.value, rows)
    return 0


if __name__ == "__main__":
    run_command("startup", __name__, USAGE, main)
