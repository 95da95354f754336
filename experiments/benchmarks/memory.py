"""Peak memory of runs of the nstjax command beside what it predicts.

  python -m experiments.benchmarks.memory --weights=random --output=memory.json

Each run is a process of its own, whose largest resident set the kernel tells.
"""

import itertools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from experiments.benchmarks.benchmark import print_rows, run_benchmark, whole_numbers
from nstjax.commands.path_flags import define_paths
from nstjax.errors import InputError

define_paths("weights", "random,slim", "Networks, as nstjax --weights.")
flags.DEFINE_list("sizes", ["512", "1024"], "Long sides.")
flags.DEFINE_list("optimizers", ["adam"], "See nstjax --optimizer.")
flags.DEFINE_list("precisions", ["float32", "mixed"], "See nstjax --precision.")
flags.DEFINE_list("tiles", ["none", "256"], "Sides of tiles.")
flags.DEFINE_integer("lbfgs_num_correction", 10, "Pairs of L-BFGS.")
flags.DEFINE_integer("steps", 2, "Updates of each run.")
FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """Every combination of the flags' values, printed at the end."""
    values = (FLAGS.weights, whole_numbers("sizes"), FLAGS.optimizers, FLAGS.precisions)
    rows = []
    for weights, size, optimizer, precision, tile in itertools.product(
        *values, FLAGS.tiles
    ):
        settings = {"optimizer": optimizer, "precision": precision}
        predicted, peak = measure_run(size, tile, weights=weights, **settings)
        row = {"weights": Path(weights).name, "size": size, **settings, "tile": tile}
        row |= {"predicted GB": predicted, "measured GB": peak}
        rows.append(row | {"error": predicted / peak - 1})
    print_rows("Peak memory of a run", rows)
    return rows


def measure_run(size: int, tile: str, **settings: str) -> tuple[float, float]:
    """Run the command once on pictures of noise, of 4:3: its GB predicted and used."""
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        pictures = {f"{folder}/photo.png": size, f"{folder}/painting.png": 512}
        for path, side in pictures.items():
            coarse = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((side, side * 3 // 4)).save(path)
        command = [
            *(sys.executable, "-m", "nstjax", *pictures),
            *(f"--output={folder}/out.png", f"--size=long:{size}"),
            *(f"--{flag}={value}" for flag, value in settings.items()),
            f"--steps={FLAGS.steps}",
            f"--lbfgs_num_correction={FLAGS.lbfgs_num_correction}",
            *("--pyramid=none", "--quiet", "--preview_seconds=0"),
            "--memory_gb=1000" if tile == "none" else f"--tile={tile}",
        ]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # The compiler's memory counts, as in a first run.
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": folder},
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, process.returncode, usage = os.wait4(process.pid, 0)
        found = re.search(r"about ([\d.]+) GB", said)
        if process.returncode or found is None:
            raise InputError(f"{' '.join(command)} failed: {said[-500:]}")
    scale = 1 if sys.platform == "darwin" else 1024
    return float(found[1]), scale * usage.ru_maxrss / 1e9


if __name__ == "__main__":
    run_benchmark("memory", __name__, __doc__, measure)
