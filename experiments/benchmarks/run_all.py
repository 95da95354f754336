"""Runs every benchmark, one after the other, and writes one JSON file.

    python -m experiments.benchmarks.run_all --output=results.json

Each runs in a process of its own; its table is printed as it comes.
With VGG-19's weights at hand (``$NSTJAX_WEIGHTS``, or the cache of ``python -m
weights_convert --download``) they are used, else random ones of its shapes, or the
bundled network where pictures are painted.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from absl import flags

from experiments.benchmarks.benchmark import no_arguments, write_json
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "startup": (),
    "kernels": (),
    "step": ("--repeats=5",),
    "memory": ("--sizes=1024", "--steps=1"),
    "tiling": ("--repeats=2",),
    "sharding": (),
    "studio": ("--repeats=1",),
    "time_to_loss": ("--repeats=3",),
    "gpu": (),
}
# Left out, with a word about it, where PyTorch is not installed.
NEED_TORCH = ("step", "time_to_loss")
VERSIONS = ("jax", "jaxlib", "numpy", "nstjax", "torch")

define_path("output", "benchmarks.json", "JSON file for the numbers.")
flags.DEFINE_list("only", None, f"Some of {', '.join(BENCHMARKS)}.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Run them all; returns the exit status."""
    no_arguments(arguments)
    names = FLAGS.only or [name for name in BENCHMARKS if name != "gpu"]
    if unknown := set(names) - BENCHMARKS.keys():
        raise InputError(f"unknown benchmark {', '.join(sorted(unknown))}: see --help")
    machine = {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in VERSIONS if importlib.util.find_spec(name)},
    }
    print(json.dumps(machine))
    results = {}
    for name in names:
        if name in NEED_TORCH and "torch" not in machine:
            print(f"\n{name} is left out: pip install torch")
            continue
        results[name] = run(name)
        write_json(FLAGS.output, {"machine": machine, "benchmarks": results})
    failed = [name for name, result in results.items() if result["status"]]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed) > 0


def run(name: str) -> dict[str, Any]:
    """The numbers of one benchmark, and its seconds."""
    module = ("-m", f"experiments.benchmarks.{name}", *BENCHMARKS[name])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "numbers.json"
        start = time.perf_counter()
        status = subprocess.run(
            [sys.executable, *module, f"--output={path}"]
        ).returncode
        seconds = time.perf_counter() - start
        numbers = json.loads(path.read_text()) if path.exists() else None
    print(f"\n{name}: {seconds:.0f} s, exit status {status}", flush=True)
    command = " ".join(["python", *module])
    return dict(command=command, status=status, seconds=seconds, numbers=numbers)


if __name__ == "__main__":
    run_command("run_all", __name__, __doc__ or "", main)
