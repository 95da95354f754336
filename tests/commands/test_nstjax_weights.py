"""The command's weights: files it refuses, and the networks it takes without one."""

import json
import shutil

import h5py
import numpy as np
import pytest
import safetensors.numpy
from command_lines import ONE, RUN, check_bad, flip, result, truncate

from nstjax.io import weights


def with_nan(path: str) -> None:
    tensors = safetensors.numpy.load_file(path)
    tensors["conv3_1/bias"][2] = np.nan
    safetensors.numpy.save_file(tensors, path)


def other_network(path: str) -> None:
    shapes = {"layer1.0.conv1.weight": (4, 3, 3, 3), "fc.bias": (10,)}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, path)


def other_h5(path: str) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights/res2a/kernel:0"] = np.zeros((3, 3, 3, 8), np.float32)


@pytest.mark.parametrize(
    ("name", "says", "change"),
    [
        ("photo.png", "photo.png does not end in", None),
        ("own.safetensors", "not readable", truncate),
        ("own.safetensors", "wrong hash", flip),
        ("own.safetensors", "not finite", with_nan),
        ("own.safetensors", "no tensor", other_network),
        ("own.h5", "own.h5", other_h5),
        ("own.h5", "own.h5", truncate),
        ("own.mat", "own.mat", truncate),
    ],
)
def test_bad_weights_are_one_line_and_write_nothing(
    name, says, change, studio, command, slim_weights
):
    if change:
        shutil.copy(slim_weights, name)
        change(name)
    check_bad(command, *RUN, f"--weights={name}", says=says)


@pytest.fixture
def no_vgg19(studio, monkeypatch):
    # Weights that this machine may have in the usual place are none of the test's.
    usual = str(studio / "cache" / "vgg19.safetensors")
    monkeypatch.setattr(weights, "default_weights_path", lambda: usual)
    monkeypatch.delenv("NSTJAX_WEIGHTS")


def test_missing_weights_say_what_to_run(studio, command, monkeypatch, no_vgg19):
    says = "run python -m weights_convert --download"
    check_bad(command, *RUN, "--weights=vgg19", says=says)
    monkeypatch.setenv("NSTJAX_WEIGHTS", "nowhere.safetensors")
    check_bad(command, *RUN, says="does not exist: $NSTJAX_WEIGHTS names it")


def test_a_random_network_is_drawn_by_the_seed(studio, command):
    first, other, again = (
        result(command, *ONE, "--weights=random", f"--seed={seed}") for seed in "010"
    )
    assert first == again != other


def test_without_vgg19_the_bundled_network_paints_and_says_so(
    studio, command, no_vgg19
):
    status, out, err = command(*ONE, "--workdir=run")
    assert (status, err) == (0, "")
    first_line = out.splitlines()[0]
    network = weights.load_network("slim")
    assert "vgg19-slim (bundled)" in first_line
    assert network.sha256[:12] in first_line
    assert "python -m weights_convert --download" in first_line
    config = json.loads((studio / "run" / "config.json").read_text())
    assert config["weights"] == "vgg19-slim (bundled)"
    assert config["weights_advice"] == network.advice
    assert config["settings"]["weights_sha256"] == network.sha256
