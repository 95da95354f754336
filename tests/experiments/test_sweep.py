"""The sweep's launcher, and the driver that it starts."""

import csv
import functools
import json
import os
import pathlib

import numpy as np
import pytest
from command_lines import check_refused
from PIL import Image
from sweep_examples import CONTENT, PARAMS, STYLES, example, shallow

from nstjax.analysis.sweeps import run as sweep_run
from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.file import read_sweep, write_sweep
from nstjax.analysis.sweeps.results import tell_diverged
from nstjax.analysis.sweeps.run import Limits, SweepJob, run_sweep
from nstjax.analysis.sweeps.settings import grid
from nstjax.errors import InputError
from nstjax.io.images import read_colors
from nstjax.presets.settings import customize
from nstjax.runs.stylize import stylize

SWEEP = "experiments.sweep"
STYLE = STYLES[0]
PRESET = shallow("gatys2016", optimizer="adam", steps=2)
SETTINGS = grid({"learning_rate": [1.0, 1e30, 3.0], "seed": [0, 1]})
CONFIG = {"settings": {"command": "sweep", "alpha": PRESET.alpha, "beta": 1.0}}


@pytest.fixture
def chunks_of_three(monkeypatch):
    monkeypatch.setattr(sweep_run, "MOST_RUNS_PER_DEVICE", 3)


def drive(folder, settings=SETTINGS, config=CONFIG, limits=None, preset=PRESET):
    prepare = functools.partial(prepare_batch, CONTENT, [STYLE], PARAMS, preset)
    limits = limits or Limits()
    return run_sweep(SweepJob(prepare, preset, settings, folder, config, limits))


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_sweep_holds_every_run(tmp_path, chunks_of_three, capsys, caplog, keep):
    preset = customize(PRESET, keep=keep, learning_rate=40.0)
    settings = grid({"learning_rate": [1.0, 1e30, 60.0], "seed": [0, 1]})
    sweep = drive(tmp_path / "new" / "folder", settings, preset=preset)
    assert sweep.settings["learning_rate"].tolist() == [1, 1, 1e30, 1e30, 60, 60]
    assert sweep.settings["seed"].tolist() == [0, 1] * 3
    assert sweep.settings["seed"].dtype == np.int64
    diverged = [False, False, True, True, False, False]
    assert (sweep.status == "diverged").tolist() == diverged
    assert sweep.stop_steps.tolist() == [2, 2, 1, 1, 2, 2]
    assert sweep.log["step"].tolist() == [0, 1, 2]
    for run in (0, 5):
        alone = stylize(
            CONTENT,
            STYLE,
            PARAMS,
            preset,
            seed=int(sweep.settings["seed"][run]),
            learning_rate=float(sweep.settings["learning_rate"][run]),
        )
        row = alone.best_step if keep == "best" else 2
        for name in ("total", "content", "style", "tv"):
            losses = getattr(alone.losses, name)
            tolerance = 1e-5 * np.abs(losses).max()
            np.testing.assert_allclose(sweep.log[name][run], losses, atol=tolerance)
            assert sweep.final[name][run] == sweep.log[name][run, row]
        difference = sweep.images[run] / 255 - alone.image
        assert np.abs(difference).max() < 0.51 / 255
    # The image of a run that diverged is the one before.
    assert sweep.final["total"][2] == sweep.log["total"][2, 0]
    out = capsys.readouterr().out
    assert "6 settings, 3 at a time, predicted peak memory" in out
    assert "predicted time" in out
    caplog.set_level("INFO")
    tell_diverged(sweep)
    assert caplog.messages[0] == "diverged at step 1: learning_rate 1e+30, seed 0"
    assert len(caplog.messages) == 2


def test_an_interrupted_sweep_gives_the_same_file(
    tmp_path, chunks_of_three, monkeypatch
):
    drive(tmp_path / "whole")
    whole = (tmp_path / "whole" / "sweep.h5").read_bytes()
    assert not (tmp_path / "whole" / "chunks").exists()
    killed = tmp_path / "killed"
    run_batch, runs = sweep_run.run_batch, []

    def interrupted(*arguments, **options):
        if len(runs) == 1:
            raise KeyboardInterrupt
        runs.append(1)
        return run_batch(*arguments, **options)

    monkeypatch.setattr(sweep_run, "run_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drive(killed)
    assert [path.name for path in (killed / "chunks").iterdir()] == ["chunk_00000.h5"]
    with pytest.raises(InputError, match="begun with 3 settings at a time"):
        fit = sweep_run.fit_sweep
        monkeypatch.setattr(sweep_run, "fit_sweep", lambda *a: fit(*a)._replace(size=2))
        drive(killed)
    monkeypatch.undo()
    replace = os.replace

    def full(source, target):
        if pathlib.Path(target).name == "sweep.h5":
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(sweep_run, "MOST_RUNS_PER_DEVICE", 3)
        patched.setattr(os, "replace", full)
        drive(killed)
    assert {path.name for path in killed.iterdir()} == {"config.json", "chunks"}
    assert len(list((killed / "chunks").iterdir())) == 2
    # Chunks stay as they were begun, whatever would be chosen now.
    runs.clear()
    sweep = drive(killed)
    assert (killed / "sweep.h5").read_bytes() == whole
    assert sorted(path.name for path in killed.iterdir()) == ["config.json", "sweep.h5"]
    assert sweep.config["lanes_per_chunk"] == 3
    # A finished sweep is read, not run.
    monkeypatch.setattr(sweep_run, "make_sweep", None)
    np.testing.assert_equal(drive(killed)._asdict(), sweep._asdict())


def test_a_sweep_that_is_killed_before_its_first_chunk_goes_on(tmp_path, monkeypatch):
    never = grid({"beta": [3e38]})
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(sweep_run, "write_sweep", lambda *_: 1 / 0)
        drive(tmp_path, never)
    sweep = drive(tmp_path, never)
    assert sweep.config == json.loads((tmp_path / "config.json").read_text())
    # A run that never was finite has no losses.
    assert sweep.status.tolist() == ["diverged"]
    assert sweep.stop_steps.tolist() == [0]
    assert np.isnan(sweep.final["total"]).all()
    assert sweep.images.shape == (1, 16, 20, 3)


def test_a_sweep_overwrites_and_removes_nothing_that_it_has_not_written(
    tmp_path, chunks_of_three
):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "settings.csv").write_text("mine")
    with pytest.raises(InputError, match=r"settings\.csv is there already"):
        drive(folder)
    assert [path.name for path in folder.iterdir()] == ["settings.csv"]
    run_batch = sweep_run.run_batch
    folder = tmp_path / "run"

    def noting(*arguments, **options):
        (folder / "chunks").mkdir(parents=True, exist_ok=True)
        (folder / "chunks" / "notes.txt").write_text("mine")
        return run_batch(*arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweep_run, "run_batch", noting)
        drive(folder)
    assert [path.name for path in (folder / "chunks").iterdir()] == ["notes.txt"]


def test_another_sweep_is_told(tmp_path):
    drive(tmp_path)
    other = {"settings": CONFIG["settings"] | {"beta": 7.0}}
    with pytest.raises(InputError) as raised:
        drive(tmp_path, config=other)
    assert "beta was 1.0, is 7.0)" in str(raised.value)
    write_sweep(tmp_path / "sweep.h5", example())
    with pytest.raises(InputError, match="holds other settings or steps than its con"):
        drive(tmp_path)
    (tmp_path / "config.json").write_text('{"settings": {}}')
    with pytest.raises(InputError, match="holds another run"):
        drive(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"sweep\.h5 is there already"):
        drive(tmp_path)
    with pytest.raises(InputError, match="is a file: give a folder"):
        drive(tmp_path / "sweep.h5")
    with pytest.raises(InputError, match=r"sweep\.h5, a file: give a folder"):
        drive(tmp_path / "sweep.h5" / "below")


MANY = grid({"learning_rate": list(range(1, 502)), "seed": [0, 1]})
LONG = customize(PRESET, steps=10**6)


@pytest.mark.parametrize(
    ("limits", "options", "says"),
    [
        (Limits(memory_gb=float("nan")), {}, "--memory_gb=nan: give a number of 0 or "),
        (Limits(memory_gb=-1.0), {}, "--memory_gb=-1.0"),
        (Limits(minutes=float("nan")), {}, "--limit_minutes=nan"),
        (Limits(minutes=0.0), {}, "6 settings would take about .* add --yes"),
        (Limits(), {"settings": MANY}, "1002 settings would take about .* --yes"),
        (Limits(memory_gb=1e-3), {}, "allow more, or choose a smaller size"),
        (Limits(memory_gb=0.01), {"preset": LONG}, "with 1000000 steps .* fewer steps"),
    ],
)
def test_a_sweep_over_its_limits_leaves_nothing(
    tmp_path, chunks_of_three, limits, options, says
):
    with pytest.raises(InputError, match=says):
        drive(tmp_path / "new", limits=limits, **options)
    assert list(tmp_path.iterdir()) == []
    if limits == Limits(minutes=0.0):
        drive(tmp_path, limits=limits._replace(yes=True))


def test_the_command_writes_everything(studio, program, monkeypatch):
    folder = studio / "sweep"
    command = (
        *("photo.png", "painting.png", "--workdir=sweep"),
        "--grid=beta=1e-1:1e1:6:log,learning_rate=2;1e30",
        *("--size=24", "--steps=3", "--optimizer=adam"),
        *("--pool=max", "--adam_betas=0.5,0.9"),
        *("--content_layers=relu1_2", "--style_layers=relu1_1,relu1_2"),
    )
    # Two chunks: more settings than run at a time.
    monkeypatch.setattr(sweep_run, "MOST_RUNS_PER_DEVICE", 6)
    # What figures look like has tests of its own.
    monkeypatch.setattr(
        "nstjax.analysis.figures.save_figure", lambda _, path: path.touch()
    )
    status, out, err = program(SWEEP, *command)
    assert status == 0, err
    assert "12 settings, 6 at a time, predicted peak memory" in out
    assert err.count("note: diverged at step 1: beta") == 5
    assert "note: 6 of 12 settings diverged" in err
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert names == {
        *("sweep.h5", "settings.csv", "config.json", "contact_sheet.png"),
        *("pareto.png", "curves.png", "heat_map.png"),
        *("images", *(f"images/{run:04d}.png" for run in range(12))),
    }
    sweep = read_sweep(folder / "sweep.h5")
    assert (sweep.status == "diverged").tolist() == [False, True] * 6
    image = np.asarray(Image.open(folder / "images" / "0010.png"))
    np.testing.assert_array_equal(image, sweep.images[10])
    with open(folder / "settings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[10]["beta"]) == sweep.settings["beta"][10] == 10.0
    assert json.loads((folder / "config.json").read_text()) == sweep.config
    assert sweep.config["settings"]["pool"] == "max"
    assert sweep.config["settings"]["adam_betas"] == [0.5, 0.9]
    assert list(sweep.log["style_layers"]) == ["relu1_1", "relu1_2"]


def test_pictures_are_read_at_the_size_that_is_needed(tmp_path, program, monkeypatch):
    shapes = []

    def read(*arguments):
        color, alpha = read_colors(*arguments)
        shapes.append(color.shape)
        return color, alpha

    monkeypatch.setattr("nstjax.io.reduction.REDUCE_ABOVE", 1000)
    monkeypatch.setattr("nstjax.io.transparency.read_colors", read)
    path = tmp_path / "large.png"
    Image.new("RGBA", (320, 240), (255, 0, 0, 128)).save(path)
    # The network is read after the pictures.
    options = ("--grid=beta=1", f"--init={path}", "--weights=none", "--size=24")
    folder = tmp_path / "run"
    status, _, err = program(SWEEP, path, path, *options, f"--workdir={folder}")
    assert status == 2
    assert shapes == [(60, 80, 3)] * 3
    assert err.count("large.png is transparent in parts, which are put on white") == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --workdir=DIR and either --grid=... or --settings=FILE"),
        (("--workdir=w", "--free_pictures", "--grid=pool=1"), "run one sweep for each"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, says, studio, program, monkeypatch):
    # The painting itself takes seconds.
    monkeypatch.setattr("nstjax.io.demo.demo_pictures", lambda: (CONTENT, STYLE))
    check_refused(*program(SWEEP, *arguments), says)
