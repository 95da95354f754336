import json
import logging
import os

import jax
import numpy as np
import pytest
from command_lines import PICTURES, good
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.config import read_config, write_config
from nstjax.io.run_log import read_run, write_run
from nstjax.io.stored import Label, convert
from nstjax.problem.problem import evaluate
from nstjax.runs.request import recorded_request, request_record
from nstjax.runs.saved_run import read_saved_run, recorded_inputs

RUN = (
    "--steps=3", "--size=32", "--quiet", "--workdir=run", "--preview_seconds=0",
    "--content_layers=relu1_1", "--style_layers=conv1_1,relu1_1", "--optimizer=adam",
)  # fmt: skip


def check_losses(run):
    """The images have the losses that the log says."""
    logged = read_run(run.folder).log["total"]
    for step, image in (*run.snapshots.items(), (run.steps, run.image)):
        state = run.problem.state._replace(image=image)
        # A state is donated: each evaluation has its own.
        _, info = evaluate(run.problem, jax.tree.map(np.array, state))
        np.testing.assert_allclose(info.loss[0], logged[step], rtol=1e-5)


def test_the_images_have_the_losses_that_the_log_says(studio, command):
    good(command, *PICTURES, *RUN, "--snapshots=1,2", "--tv=0.01")
    run = read_saved_run(studio / "run")
    assert run.steps == 3
    assert list(run.snapshots) == [1, 2]
    check_losses(run)
    assert run.content.shape == run.style.shape == run.image.shape == (24, 32, 3)


def test_every_control_comes_back(studio, pictures, command):
    status, _, err = command(
        *("photo.png", "painting.png", "photo.png", *RUN),
        *("--content_mask=left.png+right.png", "--style_regions=1,2"),
        *("--region_weights=1,3", "--stylize_mask=left.png"),
        *("--color=luminance", "--style_image_layers=all,conv1_1+relu1_1"),
        "--style_blend_weights=2,1",
    )
    assert status == 0, err
    check_losses(read_saved_run(studio / "run"))


def test_pyramid_and_mixed_style(studio, command, slim_weights, caplog):
    # As large as the photo: one size of programs serves both.
    Image.open("painting.png").resize((64, 48)).save("painting.png")
    status, _, err = command(
        *("photo.png", "painting.png", "--fine_style=photo.png", *RUN),
        *("--size=32", "--pyramid=2", "--pyramid_min_size=16", "--pyramid_steps=2"),
        *("--snapshots=1,4", "--content_layers=relu1_1", "--style_layers=relu1_1"),
        *("--fine_layers=relu1_1", "--fine_layers_refined=relu1_1"),
    )
    assert status == 0, err
    inputs = set(recorded_inputs(studio / "run"))
    assert {studio / "photo.png", studio / "painting.png", slim_weights} <= inputs
    names = {"config.json", "metrics.jsonl", "run.h5", "checkpoint.safetensors"}
    assert {studio / "run" / name for name in (*names, "style.png")} <= inputs
    caplog.set_level(logging.INFO, "nstjax")
    run = read_saved_run(studio / "run")
    assert "1 snapshots of smaller scales are left out" in caplog.messages
    assert run.steps == 5
    assert list(run.snapshots) == [4]
    check_losses(run)
    config, small = read_config(studio / "run"), np.zeros((12, 16, 3), np.float32)
    write_run(studio / "run", config, [], {}, small, 2)
    with pytest.raises(InputError, match="has not reached its last scale: resume it"):
        read_saved_run(studio / "run")


def test_what_is_gone_or_changed_is_said(studio, command, slim_weights, monkeypatch):
    good(command, *PICTURES, *RUN)
    folder = studio / "run"
    with pytest.raises(InputError, match="pass that one as --weights=FILE"):
        read_saved_run(folder, weights="slim")
    with pytest.raises(InputError, match="holds no run"):
        read_saved_run(studio)
    picture = (studio / "painting.png").read_bytes()
    (studio / "painting.png").write_bytes((studio / "photo.png").read_bytes())
    with pytest.raises(InputError, match="style 1 is not the picture of the run"):
        read_saved_run(folder)
    (studio / "painting.png").unlink()
    with pytest.raises((InputError, OSError), match=r"painting\.png"):
        read_saved_run(folder)
    (studio / "painting.png").write_bytes(picture)
    config = json.loads((folder / "config.json").read_text())
    del config["request"]["seed"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="another version of nstjax"):
        read_saved_run(folder)
    del config["request"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="resume it once"):
        read_saved_run(folder)


def test_a_request_survives_json(studio, command):
    good(command, *PICTURES, *RUN, "--init=photo.png", "--size=64x48")
    record = json.loads((studio / "run" / "config.json").read_text())["request"]
    request = recorded_request(record, studio / "run")
    assert json.loads(json.dumps(request_record(request))) == record
    assert request.content == str(studio / "photo.png")
    assert request.preset.image.init == str(studio / "photo.png")
    assert request.preset.image.size.value == (48, 64)


def test_a_file_s_name_may_be_other_bytes_than_utf_8(studio):
    name = os.fsdecode(b"caf\xe9.png")
    config = {"settings": {}, "request": None, "weights": name}
    write_config(studio, config)
    assert read_config(studio) == config
    # No file has a name with one of the other surrogates.
    write_config(studio, config | {"weights": "caf\ud800.png"})
    with pytest.raises(InputError, match=r"config\.json is damaged .*surrogates not"):
        read_config(studio)
    # What is drawn is text.
    with pytest.raises(InputError, match="is damaged"):
        convert(name, Label, "a label", "draw another")
