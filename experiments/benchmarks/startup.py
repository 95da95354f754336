"""Times commands from the shell to the first picture.

    python -m experiments.benchmarks.startup --repeats=3

``first`` has an empty folder of compiled programs, ``second`` the same folder again;
``import`` is Python with nstjax and nothing else. They take turns.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from typing import Any

import skimage.data
from absl import flags

from experiments.benchmarks import benchmark
from nstjax import InputError, read_image, write_image
from nstjax.commands.path_flags import define_path
from nstjax.io.demo import stained_glass

flags.DEFINE_integer("repeats", 3, "Timed rounds.", lower_bound=1)
flags.DEFINE_string("size", "256", "As nstjax takes it.")
define_path("weights", "slim", "As nstjax takes them.")

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """A row for each kind of start, printed at the end."""
    seconds: dict[str, list[float]] = {"import": [], "first": [], "second": []}
    for _ in range(FLAGS.repeats):
        with tempfile.TemporaryDirectory() as folder:
            write_image(f"{folder}/photo.png", read_image(skimage.data.chelsea()))
            write_image(f"{folder}/painting.png", stained_glass())
            for name, taken in seconds.items():
                taken.append(benchmark.timed(partial(start, name, folder)))
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


def start(name: str, folder: str) -> None:
    """Run Python, whose compiled programs are kept in a folder, or say what failed."""
    arguments = [
        *("-m", "nstjax", f"{folder}/photo.png", f"{folder}/painting.png"),
        *("--steps=1", "--quiet", "--preview_seconds=0", f"--output={folder}/out.png"),
        *(f"--size={FLAGS.size}", f"--weights={FLAGS.weights}"),
    ]
    if name == "import":
        arguments = ["-c", "import nstjax"]
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


if __name__ == "__main__":
    benchmark.run_benchmark("startup", __name__, __doc__, measure)
