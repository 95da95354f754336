"""The command's weights: the networks that it takes without a file."""

import json

import pytest
from command_lines import ONE, check_bad, result

from nstjax.io import weights


@pytest.fixture
def no_vgg19(studio, monkeypatch):
    # Weights that this machine may have in the usual place are none of the test's.
    usual = str(studio / "cache" / "vgg19.safetensors")
    monkeypatch.setattr(weights, "default_weights_path", lambda: usual)
    monkeypatch.delenv("NSTJAX_WEIGHTS")


def test_missing_weights_say_what_to_run(studio, command, monkeypatch, no_vgg19):
    says = "run python -m weights_convert --download"
    check_bad(command, *ONE, "--weights=vgg19", says=says)
    monkeypatch.setenv("NSTJAX_WEIGHTS", "nowhere.safetensors")
    check_bad(command, *ONE, says="does not exist: $NSTJAX_WEIGHTS names it")


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
