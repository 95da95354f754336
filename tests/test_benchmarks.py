"""The benchmarks of speed and memory, on small pictures and narrow networks."""

import json
import pathlib
import subprocess

import numpy as np
import pytest

from experiments.benchmarks.tables import print_rows

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


def test_the_kernels_are_those_of_vgg19(measured):
    rows, _ = measured("kernels", "--sizes=32x48", "--repeats=1")
    assert {row["layer"]: row["shape"] for row in rows} == {
        "conv1_2": "48x32 64->64",
        "conv2_1": "24x16 64->128",
        "conv2_2": "24x16 128->128",
        "conv3_1": "12x8 128->256",
        "conv3_2": "12x8 256->256",
        "conv4_1": "6x4 256->512",
        "conv4_2": "6x4 512->512",
        "conv5_1": "3x2 512->512",
    }
    assert [row["mixed takes"] for row in rows] == ["direct"] + ["winograd"] * 7
    assert all(row["error"] < 6e-3 for row in rows)


def test_tables_line_up(capsys):
    print_rows("Title", [{"name": "a", "ratio": 0.12341}, {"name": "long", "b": None}])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "",
        "Title",
        "name   ratio  b",
        "   a  0.1234  -",
        "long       -  -",
    ]


def test_time_to_loss_reaches_the_mark(measured):
    (row,), _ = measured(
        "time_to_loss",
        *("--weights=slim", "--size=64", "--steps=30", "--notorch"),
        *("--pairs=chelsea:glass", "--coarse_steps=8", "--min_size=32"),
    )
    assert row["ours"] <= 1.01 * row["loss"]
    assert row["float32 loss"] == pytest.approx(row["loss"], rel=0.01)
    assert 0 < row["seconds"] < np.inf


def test_a_start_is_timed(measured, slim_weights):
    flags = ("--repeats=1", "--size=32", f"--weights={slim_weights}")
    rows, out = measured("startup", *flags)
    assert [row["start"] for row in rows] == ["import", "first", "second"]
    assert all(row["seconds"] > 0 for row in rows)
    assert "of the first" in out


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
    assert memory["command"] == (
        f"python -m {BENCHMARKS}.memory --sizes=1024 --steps=1"
    )


@pytest.mark.parametrize(
    ("name", "flag", "says"),
    [
        ("kernels", "--sizes=300", "--sizes has '300': give WIDTHxHEIGHT"),
        ("tiling", "--tiles=0", "--tiles=0: give numbers of 1 or more, with commas"),
        ("time_to_loss", "--pairs=dog:glass", "has 'dog:glass': give PHOTO:PAINTING"),
        ("startup", "--weights=none.npz", "failed"),
    ],
)
def test_a_wrong_flag_is_one_line(name, flag, says, tmp_path, program):
    path = tmp_path / "numbers.json"
    status, out, err = program(f"{BENCHMARKS}.{name}", flag, f"--output={path}")
    assert status == 2 and not out and not path.exists()
    last = err.splitlines()[-1]
    assert last.startswith(f"{name}: error: ") and says in last
    assert "Traceback" not in err


def test_unknown_benchmarks_are_refused(tmp_path, program):
    path = tmp_path / "all.json"
    flags = ("--only=steps", f"--output={path}")
    status, out, err = program(f"{BENCHMARKS}.run_all", *flags)
    assert status and "unknown benchmark steps" in out + err
    assert not path.exists()
