"""Files of feed-forward models."""

import dataclasses
import json
import os
import re

import jax
import numpy as np
import pytest
import restyle_models
from model_files import (
    CARD,
    ENCODER,
    STYLES,
    assert_refused,
    make_model,
    output,
    parts,
    resave,
)

from nstjax.errors import InputError
from nstjax.feedforward.networks import model_file
from nstjax.feedforward.networks.model_file import read_model, write_model


@pytest.fixture
def model():
    return make_model("conditional")


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model.safetensors"
    write_model(path, model)
    return path


@pytest.mark.parametrize("kind", STYLES)
def test_a_model_comes_back_as_it_was(kind, tmp_path):
    model = make_model(kind)
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    sha256 = write_model(path, model)
    read = read_model(path)
    assert read.network.architecture == model.network.architecture
    assert read[1:] == model[1:]
    before, after = map(model_file.network_tensors, (model.network, read.network))
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert after[name].dtype == np.float32
        np.testing.assert_array_equal(after[name], tensor)
    np.testing.assert_array_equal(output(read), output(model))
    assert write_model(again, read) == sha256
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.safetensors", "model.safetensors"]


# Tensors of "instance" have the names of "conditional".
@pytest.mark.parametrize("kind", ["batch", "conditional", "adain"])
def test_half_precision_halves_all_but_normalization(kind, tmp_path):
    model = make_model(kind)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    write_model(whole, model)
    sha256 = write_model(half, model, half_precision=True)
    tensors, metadata = parts(half)
    assert metadata["sha256"] == sha256
    exact, rounded = parts(whole)[0], read_model(half)
    for name, tensor in tensors.items():
        if "gamma" in name or "beta" in name or "norm" in name:
            np.testing.assert_array_equal(tensor, exact[name])
        else:
            assert tensor.dtype == np.float16
            np.testing.assert_allclose(tensor, exact[name], rtol=2**-11)
    sizes = [sum(part.nbytes for part in each.values()) for each in (tensors, exact)]
    assert sizes[0] < 0.6 * sizes[1]
    difference = np.abs(output(rounded) - output(model)).max()
    assert 0 < difference < 2e-3 * np.abs(output(model)).max()
    # As float32, the rounded network has the same hash.
    assert write_model(whole, rounded) == sha256


def test_the_file_is_plain_safetensors(path, model):
    tensors, metadata = parts(path)
    assert tensors["contract/0/norm/gamma"].shape == (3, 4)
    assert metadata.pop("schema") == "nstjax.model/1"
    assert len(metadata.pop("sha256")) == 64
    described = {name: json.loads(text) for name, text in metadata.items()}
    assert described.pop("architecture")["kind"] == "transform"
    assert described == {"styles": [*model.styles], "encoder": None, "card": CARD}
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(path, model, value):
    old = path.read_bytes()
    model.network.expand[1].norm.beta[...] += value
    with pytest.raises(InputError, match=r"expand/1/norm/beta .* not finite"):
        write_model(path, model)
    assert path.read_bytes() == old
    tensors, metadata = parts(path)
    tensors["expand/1/norm/beta"][0, 0] = value
    resave(path, tensors, metadata)
    assert_refused(path, "expand/1/norm/beta .* not finite")


def test_numbers_beyond_half_precision_are_refused(path, model):
    model.network.last.convolution.bias[...] += 7e4
    with pytest.raises(InputError, match="not finite in float16"):
        write_model(path, model, half_precision=True)
    write_model(path, model)
    np.testing.assert_array_equal(output(read_model(path)), output(model))


@pytest.mark.parametrize(
    "name",
    ["", "a,b", "a:b", " a", "a\nb", "other", "a/b", "a\\b", "..", 34 * "浪"],
)
def test_style_names_that_no_option_or_file_holds_are_refused(model, tmp_path, name):
    named = model._replace(styles=("The Scream", name, "other"))
    with pytest.raises(InputError, match="cannot name a style") as caught:
        write_model(tmp_path / "model.safetensors", named)
    assert repr(name) in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("instance", ENCODER),
        ("adain", None),
        ("adain", dataclasses.replace(ENCODER, scales={"conv1_1": 1.0})),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(kind, encoder, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="encoder"):
        write_model(path, make_model(kind)._replace(encoder=encoder))


def test_a_bundled_model_is_found_by_name(path, model, monkeypatch):
    monkeypatch.setattr(model_file, "MODELS", path.parent)
    path.rename(path.with_name("painterly.safetensors"))
    assert model_file.bundled_model("painterly").styles == model.styles
    with pytest.raises(InputError, match="choose one of painterly, arbitrary"):
        model_file.bundled_model("../painterly")


def test_weights_are_float32_in_double_precision(path, float64):
    tensors = parts(path)[0]
    for name, tensor in model_file.network_tensors(read_model(path).network).items():
        np.testing.assert_array_equal(tensor, tensors[name])
    assert read_model(path).network.contract[0].norm.gamma[...].dtype == np.float32


def test_paintings_that_are_named_styles_come_back(tmp_path):
    model, path = restyle_models.descending_by_name(), tmp_path / "model.safetensors"
    write_model(path, model)
    read = read_model(path)
    assert read.styles == model.styles
    assert jax.tree.structure(read.paintings) == jax.tree.structure(model.paintings)
    for found, expected in zip(
        *map(jax.tree.leaves, (read.paintings, model.paintings)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "name, tensor, words",
    [
        ("styles/mean", np.zeros((3, 3), np.float32), "expected [2, 3]"),
        (
            "styles/grams/1/relu4_1",
            np.zeros((2, 6, 5), np.float32),
            "expected [2, 5, 5]",
        ),
        ("styles/grams/1/relu4_1", np.zeros((), np.float32), "expected [2, 0, 0]"),
        ("styles/grams/0/relu2_1", None, "has shape none"),
        ("styles/grams/2/relu1_1", np.zeros((2, 4, 4), np.float32), "expected none"),
    ],
)
def test_damaged_paintings_are_refused(name, tensor, words, tmp_path):
    path = tmp_path / "model.safetensors"
    write_model(path, restyle_models.descending_by_name())
    tensors, metadata = parts(path)
    tensors.pop(name, None)
    if tensor is not None:
        tensors[name] = tensor
    resave(path, tensors, metadata)
    assert_refused(path, re.escape(words))


def test_each_painting_needs_a_name(tmp_path):
    model = restyle_models.descending_by_name()._replace(styles=("wave",))
    with pytest.raises(InputError, match="2 styles, but 1 have a name"):
        write_model(tmp_path / "model.safetensors", model)
