"""A sweep on disk."""

import csv

import h5py
import numpy as np
import pytest
from sweep_examples import LAYERS, STEPS, example

from nstjax.analysis.sweeps import file as files
from nstjax.analysis.sweeps.file import read_sweep, write_sweep
from nstjax.errors import InputError


def assert_same(sweep, other):
    np.testing.assert_equal(other._asdict(), sweep._asdict())
    assert list(other.settings) == list(sweep.settings)
    for group in LAYERS:
        assert list(other.log[group]) == list(sweep.log[group])


def test_what_is_written_is_read(tmp_path):
    sweep = example()
    write_sweep(tmp_path / "a.h5", sweep)
    read = read_sweep(tmp_path / "a.h5")
    assert_same(sweep, read)
    assert read.status.dtype.kind == "U"
    assert read.settings["seed"].dtype == np.int64
    write_sweep(tmp_path / "b.h5", read)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["schema"] == "nstjax.sweep/1"
        assert file["status"].asstr()[1] == "diverged"
        assert file["nstop"][1] == 10
        assert file["log/step"][()].tolist() == STEPS.tolist()
        for name, kind, shape in (
            ("settings/style_layer_weights.relu4_1", "f8", (3,)),
            ("log/gradient_norm", "f4", (3, 4)),
            ("log/style_layers", "f4", (3, 4, 2)),
            ("final/content", "f8", (3,)),
        ):
            assert (file[name].dtype, file[name].shape) == (kind, shape)
        layers = file["log/style_layers"]
        assert tuple(layers.attrs["layers"]) == LAYERS["style_layers"]
        expected = sweep.log["style_layers"]["conv1_1"]
        np.testing.assert_array_equal(layers[:, :, 1], expected)
        assert file["images"].chunks == (1, 5, 6, 3)
        assert file["images"].compression == "gzip"


def test_parts_make_the_whole():
    runs = np.arange(7)
    whole = example({"tv": runs / 3, "seed": runs}, diverged=(1, 5))

    def part(first, last):
        def rows(table):
            if isinstance(table, dict):
                return {name: rows(each) for name, each in table.items()}
            return table[first:last]

        tables = whole._replace(config={})
        tables = tables._make(map(rows, tables))
        tables.log["step"] = whole.log["step"]
        return tables._replace(config=whole.config)

    parts = [part(0, 3), part(3, 6), part(6, 7)]
    assert_same(whole, files.join_sweeps(parts))
    parts[1].log["step"] = STEPS + 1
    with pytest.raises(InputError, match="chunks of the sweep are not of one sweep"):
        files.join_sweeps(parts)


@pytest.mark.parametrize(
    ("place", "name", "value", "says"),
    [
        ("/", "schema", "nstjax.sweep/9", r"its schema is nstjax\.sweep/9"),
        ("/", "config", "[1", r"sweep\.h5 config is damaged"),
        ("log/style_layers", "layers", ["relu1_1"], "log/style_layers has 1 names"),
        ("settings", "tv ", None, "no runs, or settings of unknown names"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, place, name, value, says):
    path = tmp_path / "sweep.h5"
    write_sweep(path, example())
    with h5py.File(path, "r+") as file:
        if value is None:
            file[place].move("tv", name)
        else:
            file[place].attrs[name] = value
    with pytest.raises(InputError, match=says):
        read_sweep(path)


def test_the_table_has_a_line_for_each_run(tmp_path):
    sweep = example()
    files.write_settings_table(tmp_path / "settings.csv", sweep)
    with open(tmp_path / "settings.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    assert [row["status"] for row in rows] == ["done", "diverged", "done"]
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    columns = {"tv": sweep.settings["tv"]}
    columns |= {f"{name}_loss": sweep.final[name] for name in files.FINAL}
    for name, values in columns.items():
        np.testing.assert_array_equal([float(row[name]) for row in rows], values)
