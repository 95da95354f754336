"""The benchmarks of speed and memory, on small pictures and narrow networks."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks.benchmark import print_rows
from nstjax.network import architecture
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize

BENCHMARKS = "experiments.benchmarks"


@pytest.fixture
def measured(program, tmp_path):
    """Run a benchmark: measured(name, *flags) -> its numbers and what it printed."""

    def run(name, *arguments):
        path = tmp_path / "numbers.json"
        module = f"{BENCHMARKS}.{name}"
        status, out, err = program(module, *arguments, f"--output={path}")
        assert status == 0, err
        return json.loads(path.read_text()), out

    return run


def test_both_algorithms_are_timed_and_agree(measured, monkeypatch):
    # The layers to conv3_3, which has the shape of the one before, for time.
    first = architecture.summarize(32, 32)[:15]
    monkeypatch.setattr(architecture, "summarize", lambda *size: first)
    rows, _ = measured("kernels", "--sizes=32x32", "--repeats=1")
    assert {row["layer"]: row["shape"] for row in rows} == {
        "conv1_2": "32x32 64->64",
        "conv2_1": "16x16 64->128",
        "conv2_2": "16x16 128->128",
        "conv3_1": "8x8 128->256",
        "conv3_2": "8x8 256->256",
    }
    assert [row["mixed takes"] for row in rows] == ["direct", *["winograd"] * 4]
    assert all(row["error"] < 6e-3 for row in rows)
    assert all(row["winograd gradient ms"] > 0 for row in rows)


def test_tables_line_up(capsys):
    print_rows("Title", [{"name": "a", "ratio": 0.12341}, {"name": "long", "b": None}])
    table = "name   ratio  b\n   a  0.1234  -\nlong       -  -\n"
    assert capsys.readouterr().out == f"\nTitle\n{table}"


@pytest.fixture
def shallow(monkeypatch):
    """Presets with two blocks of layers, which compile at once."""
    layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    for name in ("gatys2016", "gatys-code"):
        monkeypatch.setitem(PRESETS, name, customize(PRESETS[name], **layers))


@pytest.fixture
def time_to_loss(measured, slim_weights, shallow):
    """Its row and what it printed, for some arguments and flags."""

    def run(*arguments):
        flags = ("--size=48", "--coarse_steps=4", "--min_size=24", "--notorch")
        (row,), out = measured(
            "time_to_loss", *arguments, *flags, f"--weights={slim_weights}"
        )
        assert str(slim_weights) in out
        return row

    return run


@pytest.mark.slow
def test_time_to_loss_reaches_the_mark(time_to_loss):
    row = time_to_loss("--pairs=chelsea:glass", "--steps=8", "--beta=1")
    assert row["optimizer"] == "lbfgs"
    assert row["ours"] <= 1.01 * row["loss"]
    assert row["float32 loss"] == pytest.approx(row["loss"], rel=0.01)
    assert 0 < row["seconds"] < np.inf


def test_time_to_loss_takes_pictures_and_one_optimizer(time_to_loss, tmp_path):
    for name, size in {"photo": (48, 32), "painting": (36, 48)}.items():
        Image.linear_gradient("L").resize(size).save(tmp_path / f"{name}.png")
    row = time_to_loss(
        *(tmp_path / "photo.png", tmp_path / "painting.png", "--single=same"),
        *("--optimizers=adam", "--steps=2", "--rounds=2", "--precision=float32"),
    )
    assert (row["optimizer"], row["factor"]) == ("adam", "2")
    assert 1 <= row["steps"] <= 2
    assert row["float32 loss"] == pytest.approx(row["loss"], rel=1e-5)
    low, high = map(float, row["range"].split(".."))
    assert low - 0.005 <= row["of the single scale"] <= high + 0.005


@pytest.fixture
def starts(program, monkeypatch):
    """What would be started as processes: the command runs in this one."""
    original, environments = subprocess.run, []

    def run(command, *, env=None, **options):
        if command[0] != sys.executable:
            return original(command, env=env, **options)
        assert options == {"stdout": subprocess.DEVNULL}
        environments.append(env["JAX_COMPILATION_CACHE_DIR"])
        if command[1:] == ["-c", "import nstjax"]:
            return subprocess.CompletedProcess(command, 0)
        assert command[1:3] == ["-m", "nstjax"]
        status, _, err = program(*command[2:])
        print(err, end="", file=sys.stderr)
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setattr(subprocess, "run", run)
    return environments


def test_a_start_is_timed(measured, slim_weights, starts, shallow):
    flags = ("--repeats=1", "--size=32", f"--weights={slim_weights}")
    rows, out = measured("startup", *flags)
    assert [row["start"] for row in rows] == ["import", "first", "second"]
    assert all(row["seconds"] > 0 for row in rows)
    assert "of the first" in out
    # One folder of compiled programs, and none of them before the first.
    assert len(starts) == 3
    assert len(set(starts)) == 1
    assert starts[0] != os.environ["JAX_COMPILATION_CACHE_DIR"]


@pytest.mark.slow
def test_the_studio_is_timed_and_weighed(measured):
    flags = ("--repeats=1", "--uploads=2", "--megapixels=1", "--warm_seconds=0")
    rows, out = measured("studio", *flags)
    assert [row["what"] for row in rows] == [
        *("page", "first look", "next look", "large look", "memory, 2 uploads")
    ]
    assert all(row["seconds"] > 0 for row in rows[:-1])
    assert 100 < rows[-1]["first"] < 10_000 and rows[-1]["last"] > 100
    assert "large look" in out


@pytest.mark.parametrize("ends", [0, 3])
def test_run_all_joins_the_numbers(ends, program, tmp_path, monkeypatch):
    run, path = subprocess.run, tmp_path / "all.json"

    def benchmark(command, **options):
        if command[1:3] != ["-m", f"{BENCHMARKS}.memory"]:
            return run(command, **options)
        assert command[3:-1] == ["--sizes=1024", "--steps=1"]
        if ends == 0:
            pathlib.Path(command[-1].removeprefix("--output=")).write_text("[7]")
        return subprocess.CompletedProcess(command, ends)

    monkeypatch.setattr(subprocess, "run", benchmark)
    flags = ("--only=memory", f"--output={path}")
    status, out, err = program(f"{BENCHMARKS}.run_all", *flags)
    assert (status, err) == ((0, "") if ends == 0 else (1, "failed: memory\n"))
    assert f" s, exit status {ends}" in out
    joined = json.loads(path.read_text())
    assert joined["machine"]["jax"]
    (memory,) = joined["benchmarks"].values()
    assert memory["numbers"] == (None if ends else [7])
    command = f"python -m {BENCHMARKS}.memory --sizes=1024 --steps=1"
    assert memory["command"] == command


@pytest.mark.parametrize(
    ("name", "flags", "says"),
    [
        ("kernels", ["--sizes=300"], "--sizes has '300': give WIDTHxHEIGHT"),
        ("feedforward", ["--sizes=512"], "--sizes has '512': give WIDTHxHEIGHT"),
        ("kernels", ["a.png"], "unexpected argument a.png: see --help"),
        ("tiling", ["--tiles=0"], "--tiles=0: give numbers of 1 or more, with commas"),
        ("time_to_loss", ["--pairs=dog:glass"], "'dog:glass': give PHOTO:PAINTING of"),
        ("time_to_loss", ["a.png"], "give a photo and a painting, or no pictures"),
        ("time_to_loss", ["a.png", "b.png"], "a.png does not exist"),
        ("time_to_loss", ["--preset=gatys2016"], "choose gatys-code"),
        ("time_to_loss", ["--optimizers=sgd"], "unknown optimizer 'sgd'"),
        ("startup", ["--weights=none.npz"], "failed"),
        ("run_all", ["--only=steps"], "unknown benchmark steps"),
    ],
)
def test_a_wrong_flag_is_one_line(name, flags, says, tmp_path, program, starts):
    path = tmp_path / "numbers.json"
    status, out, err = program(f"{BENCHMARKS}.{name}", *flags, f"--output={path}")
    assert status == 2 and not out and not path.exists()
    last = err.splitlines()[-1]
    assert last.startswith(f"{name}: error: ") and says in last
    assert "Traceback" not in err
