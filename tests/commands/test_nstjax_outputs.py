"""The command's outputs: pictures, montage, snapshots, preview, working folder."""

import hashlib
import json
import os
import pathlib

import h5py
import numpy as np
import pytest
from command_lines import ONE, PICTURES, RUN, SHALLOW, good, metrics, photo, result
from forked import NSTJAX, run_forked
from PIL import Image

import nstjax
import nstjax.commands.transfer
from nstjax.io.weights import read_params
from nstjax.presets.published import PRESETS
from nstjax.runs import run_files


def test_suffix_and_quality_choose_the_file(studio, command):
    for flags in (("--output=95.jpg",), ("--output=20.jpg", "--quality=20")):
        good(command, *ONE, *flags)
    with Image.open("95.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (48, 36))
    assert os.path.getsize("20.jpg") < os.path.getsize("95.jpg")


def test_process_shows_progress_and_writes_the_picture(studio):
    status, out, err = run_forked(NSTJAX, *ONE, "--noquiet")
    assert status == 0
    assert "2/2" in err
    assert "total" in err
    assert "nstjax: error" not in err
    assert "48x36 pixels, 2 steps of adam" in out
    assert "wrote out.png after 2 steps" in out


def test_montage_shows_photo_result_and_painting(studio, command):
    good(command, *ONE, "--montage")
    montage = nstjax.read_image("out_montage.png")
    # All have the height of the result, 48x36; the painting is 56x72.
    assert montage.shape == (36, 48 + 16 + 48 + 16 + 28, 3)
    painting = nstjax.resize(nstjax.read_image("painting.png"), 36, 28)
    np.testing.assert_allclose(montage[:, -28:], painting, atol=0.02)
    result = nstjax.read_image("out.png")
    np.testing.assert_allclose(montage[:, 64:112], result, atol=0.02)


def test_snapshots_are_written_at_exactly_these_steps(studio, command):
    status, _, err = command(*ONE, "--steps=5", "--snapshots=0,1,3,7,9")
    note = "nstjax: note: no snapshot of step {}: the run ends before it\n"
    assert (status, err) == (0, note.format(7) + note.format(9))
    names = {f"out_{step:06d}.png" for step in (0, 1, 3)}
    assert set(os.listdir()) == {*PICTURES, "out.png", *names}
    # The run starts from the photo, and a shorter run is the beginning of a longer.
    start = nstjax.read_image("out_000000.png")
    np.testing.assert_allclose(start, photo(), atol=0.003)
    third = result(command, *ONE, "--steps=3")
    assert pathlib.Path("out_000003.png").read_bytes() == third


def test_preview_is_renewed_and_removed_at_the_end(studio, command, monkeypatch):
    written_paths = []

    def write_image(path, *arguments):
        written_paths.append(str(path))
        nstjax.write_image(path, *arguments)
        assert pathlib.Path(path).exists()

    monkeypatch.setattr(run_files, "write_image", write_image)
    preview = "out.nstjax-preview/preview.jpg"
    out = good(command, *ONE, "--preview_seconds=1e-9")
    assert out.count(f"nstjax: preview in {preview}, renewed every 1e-09 seconds") == 1
    assert written_paths.count(preview) >= 2
    assert set(os.listdir()) == {*PICTURES, "out.png"}
    written_paths.clear()
    good(command, *ONE, "--preview_seconds=0")
    assert not written_paths


def test_working_folder_tells_the_whole_run(studio, command, slim_weights):
    factors = {"alpha": 3.0, "beta": 2e4, "tv": 0.5}
    flags = [f"--{name}={value}" for name, value in factors.items()]
    folder = pathlib.Path("runs/first")
    out = good(
        command, *RUN, *flags, "--steps=4", "--seed=7", "--snapshots=1,4",
        f"--workdir={folder}",
    )  # fmt: skip
    assert set(os.listdir(folder)) == {
        *("config.json", "metrics.jsonl", "run.h5", "checkpoint.safetensors"),
        *("snapshot_000001.png", "snapshot_000004.png"),
    }
    last = (folder / "snapshot_000004.png").read_bytes()
    assert last == pathlib.Path("out.png").read_bytes()

    config = json.loads((folder / "config.json").read_text())
    settings = config["settings"]
    sha256 = read_params(slim_weights).sha256
    assert settings["weights_sha256"] == sha256
    assert sha256[:12] in out
    assert {name: settings[name] for name in factors} == factors
    assert (settings["preset"], settings["steps"]) == ("gatys2016", 4)
    assert (settings["seed"], settings["optimizer"]) == (7, "lbfgs")
    assert settings["image_sha256"] == {
        name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        for name, path in zip(("content", "style_1"), PICTURES, strict=True)
    }
    assert config["versions"].keys() >= {"python", "nstjax", "jax", "optax", "numpy"}

    rows = metrics(folder)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    names = {"step", "total", "content", "style", "tv", "seconds"}
    for row in rows:
        assert row.keys() >= names
        assert list(row["content_layers"]) == ["relu4_2"]
        assert list(row["style_layers"]) == list(PRESETS["gatys2016"].style_layers)
        assert row["content"] == pytest.approx(row["content_layers"]["relu4_2"])
        assert row["style"] == pytest.approx(0.2 * sum(row["style_layers"].values()))
        terms = zip(factors.values(), ("content", "style", "tv"), strict=True)
        total = sum(weight * row[term] for weight, term in terms)
        # Three products and two sums in float32.
        assert row["total"] == pytest.approx(total, rel=5 * 2.0**-24)
    assert rows[-1]["total"] < rows[0]["total"]
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)

    with h5py.File(folder / "run.h5") as file:
        assert file.attrs["schema"] == "nstjax.run/3"
        assert json.loads(file.attrs["config"]) == config
        assert list(file["log/step"]) == [0, 1, 2, 3, 4]
        for name in ("total", "content", "style", "tv", "seconds"):
            assert list(file[f"log/{name}"]) == [row[name] for row in rows]
        assert list(file["snapshots"]) == ["000001", "000004"]
        assert file["snapshots/000001"].shape == (36, 48, 3)
        np.testing.assert_array_equal(file["snapshots/000004"], file["image"])
        picture = np.asarray(nstjax.deprocess(file["image"][()]))
    # PNG keeps 8 bits.
    difference = np.abs(picture - nstjax.read_image("out.png"))
    assert difference.max() <= 0.501 / 255


def test_log_every_thins_the_log_but_keeps_the_last_step(studio, command):
    flags = (*SHALLOW[1:], "--steps=5", "--log_every=2", "--workdir=run")
    good(command, *PICTURES, *flags)
    # Without a name the result goes to the working folder.
    assert pathlib.Path("run/stylized.png").exists()
    assert set(os.listdir()) == {*PICTURES, "run"}
    assert [row["step"] for row in metrics("run")] == [0, 2, 4, 5]


def test_a_result_that_cannot_be_where_it_should_is_elsewhere(
    studio, command, monkeypatch
):
    write_image = nstjax.write_image

    def full(path, *arguments):
        if pathlib.Path(path).parent.name == "album":
            raise nstjax.InputError(f"{path} cannot be written (No space left)")
        write_image(path, *arguments)

    monkeypatch.setattr(nstjax.commands.transfer, "write_image", full)
    (studio / "album").mkdir()
    status, out, err = command(*ONE, "--output=album/out.png")
    assert status == 1
    assert "wrote out.png after 2 steps" in out
    says = "album/out.png cannot be written (No space left); wrote out.png instead"
    assert err == f"nstjax: note: {says}\n"
    assert set(os.listdir()) == {*PICTURES, "album", "out.png"}
