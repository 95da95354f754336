"""Peak memory of runs of the nstjax command beside what it predicts.

  python -m experiments.benchmarks.memory --weights=random --output=memory.json

Each run is a process of its own, whose largest resident set the kernel tells.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from PIL import Image

from nstjax.entry import run_command
from nstjax.errors import InputError

USAGE = __doc__ or ""
flags.DEFINE_list("weights", ["random", "slim"], "Networks, as nstjax --weights.")
flags.DEFINE_list("sizes", ["512", "1024", "1536"], "Long sides.")
flags.DEFINE_list("optimizers", ["adam", "lbfgs"], "See nstjax --optimizer.")
flags.DEFINE_list("tiles", ["none", "256"], "Sides of tiles.")
flags.DEFINE_integer("lbfgs_num_correction", 10, "Pairs of L-BFGS.")
flags.DEFINE_integer("steps", 2, "Updates of each run.")
flags.DEFINE_string("output", None, "JSON file to write.")
FLAGS = flags.FLAGS


class Row(NamedTuple):
    """One run: gigabytes of its peak."""

    weights: str
    size: int
    optimizer: str
    tile: int | None
    predicted_gb: float
    measured_gb: float

    @property
    def error(self) -> float:
        """Of the prediction, over what was measured."""
        return self.predicted_gb / self.measured_gb - 1


def measure(
    weights: str,
    size: int,
    optimizer: str,
    tile: int | None,
    *,
    steps: int = 2,
    pairs: int = 10,
) -> Row:
    """Run the command once on pictures of noise, of 4:3.

    Raises:
      InputError: it failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(0)
        for picture, side in (("photo", size), ("painting", 512)):
            coarse = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((side, side * 3 // 4))
            image.save(folder / f"{picture}.png")
        command = [
            *(sys.executable, "-m", "nstjax"),
            *(str(folder / f"{picture}.png") for picture in ("photo", "painting")),
            f"--output={folder / 'out.png'}",
            f"--weights={weights}",
            f"--size=long:{size}",
            f"--optimizer={optimizer}",
            f"--steps={steps}",
            f"--lbfgs_num_correction={pairs}",
            "--pyramid=none",
            "--quiet",
            "--preview_seconds=0",
            "--memory_gb=1000" if tile is None else f"--tile={tile}",
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        found = re.search(r"about ([\d.]+) GB", said)
        if status or found is None:
            raise InputError(f"{' '.join(command)} failed: {said[-500:]}")
    scale = 1 if sys.platform == "darwin" else 1024
    peak = scale * usage.ru_maxrss / 1e9
    return Row(weights, size, optimizer, tile, float(found[1]), peak)


def table_rows(rows: Sequence[Row]) -> list[str]:
    """A table, a line each."""
    head = f"{'weights':<10}{'size':>6} {'optimizer':<10}{'tile':>5}"
    lines = [f"{head}{'predicted':>11}{'measured':>10}{'error':>8}"]
    for row in rows:
        lines.append(
            f"{Path(row.weights).name:<10}{row.size:>6} {row.optimizer:<10}"
            f"{row.tile or '-':>5}{row.predicted_gb:>8.2f} GB{row.measured_gb:>7.2f} GB"
            f"{100 * row.error:>+6.0f} %"
        )
    return lines


def main(arguments: Sequence[str]) -> int:
    """Measure what the flags say; returns the exit status."""
    if arguments:
        raise InputError(
            f"unexpected argument {arguments[0]!r}: --help lists the flags"
        )
    rows: list[Row] = []
    for weights, size, optimizer, tile in itertools.product(
        FLAGS.weights, FLAGS.sizes, FLAGS.optimizers, FLAGS.tiles
    ):
        row = measure(
            weights,
            int(size),
            optimizer,
            None if tile == "none" else int(tile),
            steps=FLAGS.steps,
            pairs=FLAGS.lbfgs_num_correction,
        )
        rows.append(row)
        print("\n".join(table_rows([row])[0 if len(rows) == 1 else 1 :]), flush=True)
    if FLAGS.output:
        text = json.dumps([row._asdict() for row in rows], indent=1)
        Path(FLAGS.output).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    run_command("memory", __name__, USAGE, main)
