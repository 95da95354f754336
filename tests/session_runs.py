"""Runs of the command that tests of sessions share, and what they compare."""

import contextlib
import json
import pathlib
import pkgutil
import shutil
import textwrap
from unittest import mock

import command_lines
import h5py
import safetensors.numpy
from forked import run_forked

SNAPSHOTS = (0, 3, 9, 20)
STEPS = 24
# Two blocks of the network, which compile at once.
BLOCKS = ("--content_layers=relu2_1", "--style_layers=relu1_1,relu2_1")


def flags(optimizer: str, folder: str, *more: str) -> tuple[str, ...]:
    return (
        *("photo.png", "painting.png", "--size=48", f"--optimizer={optimizer}"),
        *(f"--steps={STEPS}", "--init=blend", "--noise_ratio=0.4", "--quiet"),
        *("--snapshots=" + ",".join(map(str, SNAPSHOTS)), "--checkpoint_every=5"),
        *("--preview_seconds=0", f"--workdir={folder}", *BLOCKS, *more),
    )


def metrics(folder: str) -> list[dict]:
    """The rows of metrics.jsonl without the time, which no two runs share."""
    rows = command_lines.metrics(folder)
    for row in rows:
        del row["seconds"]
    return rows


def config(folder: str) -> dict:
    """What config.json says, without where the pictures lie."""
    found = json.loads(pathlib.Path(folder, "config.json").read_text())
    for name in ("content", "styles"):
        del found["request"][name]
    return found


def run_arrays(folder: str) -> dict[str, bytes]:
    """Every array of run.h5 but the time, bit for bit."""
    with h5py.File(pathlib.Path(folder, "run.h5")) as file:
        names: list[str] = []
        file.visit(names.append)
        arrays = [name for name in names if isinstance(file[name], h5py.Dataset)]
        return {
            name: file[name][()].tobytes() for name in arrays if name != "log/seconds"
        }


def check_equal(folder: str, other: str) -> None:
    """Two working folders hold the same run, bit for bit."""
    assert metrics(folder) == metrics(other)
    arrays = run_arrays(folder)
    assert arrays.keys() >= {"image", "log/total"}
    assert arrays == run_arrays(other)
    names = sorted(path.name for path in pathlib.Path(folder).iterdir())
    assert names == sorted(path.name for path in pathlib.Path(other).iterdir())
    assert {"stylized.png", "checkpoint.safetensors"} <= set(names)
    assert config(folder) == config(other)
    for name in names:
        # The others were compared above but for the time and the pictures' place.
        if name not in ("metrics.jsonl", "run.h5", "config.json"):
            contents = pathlib.Path(folder, name).read_bytes()
            assert contents == pathlib.Path(other, name).read_bytes(), name


def check_snapshots(folder: str) -> None:
    found = sorted(path.name for path in pathlib.Path(folder).glob("snapshot_*"))
    assert found == [f"snapshot_{step:06d}.png" for step in SNAPSHOTS]


def checkpoint_step(folder: str) -> int:
    path = pathlib.Path(folder, "checkpoint.safetensors")
    return int(safetensors.numpy.load_file(path)["step"])


@contextlib.contextmanager
def copied_after(function: str, counts: dict[int, str], folder: str):
    """Copy a working folder as a kill leaves it: as a function returns for that time.

    {time: copy}; what is written is complete by then, or not there, as in a process
    that ends.
    """
    function = f"nstjax.{function}"
    original = pkgutil.resolve_name(function)
    calls = []

    def copying(*arguments, **options):
        result = original(*arguments, **options)
        calls.append(result)
        if len(calls) in counts:
            shutil.copytree(folder, counts[len(calls)])
        return result

    with mock.patch(function, copying):
        yield


def shortened(folder: str, *more: str) -> tuple[str, ...]:
    return flags("adam", folder, "--snapshots=0,3,9", *more)


PLAIN = (
    "photo.png", "painting.png", "--size=48", "--optimizer=adam", "--quiet",
    "--output=out.png", "--preview_seconds=1e-9", *BLOCKS,
)  # fmt: skip

PATCHED = """
import os, signal, sys, time
from nstjax.commands import nstjax as cli
from nstjax.runtime import interrupts
from nstjax.runs import session
{0}
sys.argv[0] = "nstjax"
cli.run()
"""


def run_patched(function: str, body: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command while a function of ``session`` does something else."""
    body = textwrap.indent(textwrap.dedent(body), "    ")
    change = f"def {function}(*arguments, **options):\n{body}"
    code = PATCHED.format(f"{change}\nsession.{function} = {function}")
    return run_forked(code, *arguments)
