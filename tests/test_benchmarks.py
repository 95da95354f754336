"""The benchmarks of speed and memory, on small pictures and narrow networks."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmarks.tables import print_rows

ROOT = pathlib.Path(__file__).resolve().parents[1]


def launch(environment, *arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def measured(tmp_path, environment, name, *arguments):
    path = tmp_path / "numbers.json"
    module = f"experiments.benchmarks.{name}"
    status, _, err = launch(environment, "-m", module, *arguments, f"--output={path}")
    assert status == 0, err
    return json.loads(path.read_text())


def test_the_kernels_are_those_of_vgg19(tmp_path, environment):
    arguments = ("--sizes=32x48", "--repeats=1")
    rows = measured(tmp_path, environment, "kernels", *arguments)
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


def test_time_to_loss_reaches_the_mark(tmp_path, environment):
    (row,) = measured(
        tmp_path,
        environment,
        "time_to_loss",
        *("--weights=slim", "--size=64", "--steps=30", "--notorch"),
        *("--pairs=chelsea:glass", "--coarse_steps=8", "--min_size=32"),
    )
    assert row["ours"] <= 1.01 * row["loss"]
    assert row["float32 loss"] == pytest.approx(row["loss"], rel=0.01)
    assert 0 < row["seconds"] < np.inf


def test_run_all_joins_the_numbers(tmp_path, environment):
    path = tmp_path / "all.json"
    script = ROOT / "experiments" / "benchmarks" / "run_all.py"
    status, out, err = launch(environment, script, "--only=startup", f"--output={path}")
    assert status == 0, err
    joined = json.loads(path.read_text())
    assert joined["machine"]["jax"]
    (startup,) = joined["benchmarks"].values()
    assert [row["start"] for row in startup["numbers"]] == ["import", "first", "second"]
    assert "of the first" in out


@pytest.mark.parametrize(
    ("name", "flag", "says"),
    [
        ("kernels", "--sizes=300", "--sizes has '300': give WIDTHxHEIGHT"),
        ("tiling", "--tiles=0", "--tiles=0: give numbers of 1 or more, with commas"),
        ("time_to_loss", "--pairs=dog:glass", "has 'dog:glass': give PHOTO:PAINTING"),
        ("startup", "--weights=none.npz", "failed"),
    ],
)
def test_a_wrong_flag_is_one_line(name, flag, says, tmp_path, environment):
    module, path = f"experiments.benchmarks.{name}", tmp_path / "numbers.json"
    status, out, err = launch(environment, "-m", module, flag, f"--output={path}")
    assert status == 2 and not out and not path.exists()
    last = err.splitlines()[-1]
    assert last.startswith(f"{name}: error: ") and says in last
    assert "Traceback" not in err


def test_unknown_benchmarks_are_refused(tmp_path, environment):
    path = tmp_path / "all.json"
    status, _, err = launch(
        environment,
        *("-m", "experiments.benchmarks.run_all", "--only=steps", f"--output={path}"),
    )
    assert status and "unknown benchmark steps" in err
    assert not path.exists()
