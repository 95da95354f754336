"""Times commands from the shell to the first picture.

    python -m experiments.benchmarks.startup --repeats=3

``first`` has an empty folder of compiled programs, ``second`` the same folder again;
``import`` is Python with nstjax and nothing else. They take turns.
"""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import skimage.data
from absl import flags

from experiments.benchmarks import benchmark
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.demo import stained_glass
from nstjax.io.images import read_image, write_image

flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)
flags.DEFINE_string("size", "256", "As nstjax takes it.")
define_path("weights", "slim", "As nstjax takes them.")
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def run_python(folder: str, arguments: Sequence[str]) -> None:
    """Run Python, whose compiled programs are kept in a folder, or say what failed."""
    kept = {
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **kept},
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        raise InputError(f"{' '.join(arguments)} failed")


def measure() -> list[dict[str, Any]]:
    """A row for each kind of start, printed at the end."""
    seconds: dict[str, list[float]] = {}
    for _ in range(FLAGS.repeats):
        with tempfile.TemporaryDirectory() as folder:
            write_image(f"{folder}/photo.png", read_image(skimage.data.chelsea()))
            write_image(f"{folder}/painting.png", stained_glass())
            command = [
                *("-m", "nstjax", f"{folder}/photo.png", f"{folder}/painting.png"),
                *("--steps=1", "--quiet", "--preview_seconds=0"),
                f"--size={FLAGS.size}",
                f"--weights={FLAGS.weights}",
                f"--output={folder}/out.png",
            ]
            given = {"import": ["-c", "import nstjax"], "first": command}
            for name, arguments in (given | {"second": command}).items():
                start = functools.partial(run_python, folder, arguments)
                seconds.setdefault(name, []).append(benchmark.timed(start))
    rows = [
        {
            "start": name,
            "seconds": statistics.median(taken),
            **benchmark.ratios(taken, seconds["first"], "of the first"),
        }
        for name, taken in seconds.items()
    ]
    what = f"PHOTO PAINTING --steps=1 --size={FLAGS.size}, {FLAGS.weights}"
    benchmark.print_rows(f"Start of nstjax {what}", rows)
    return rows


if __name__ == "__main__":
    benchmark.run_benchmark("startup", __name__, __doc__, measure)
