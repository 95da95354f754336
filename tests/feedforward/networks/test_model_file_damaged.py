"""Damaged and foreign model files are refused in one line."""

import dataclasses
import json
import os

import numpy as np
import pytest
import reference
import safetensors.numpy
from model_files import ENCODER, assert_refused, make_model, parts

from nstjax.errors import InputError
from nstjax.feedforward.networks import model_file
from nstjax.feedforward.networks.model_file import read_model, write_model
from nstjax.io import weights


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    write_model(path, make_model("conditional"))
    return path


def test_every_flipped_byte_is_refused_in_a_line(path):
    contents = path.read_bytes()
    header = 8 + int.from_bytes(contents[:8], "little")
    of_tensors = (header, (header + len(contents)) // 2, len(contents) - 1)
    for position in (*range(0, header, 197), *of_tensors):
        damaged = bytearray(contents)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        # Spaces after the header's end may become what ends it as well.
        if contents[position:header].strip() or position >= header:
            assert_refused(path, "." if position < header else "damaged")


@pytest.mark.parametrize("word", [b"Hokusai", b"wave", b"1e-05", b"reflect"])
def test_a_changed_word_of_the_metadata_is_found(path, word):
    contents = path.read_bytes()
    assert contents.count(word) == 1
    changed = {b"1e-05": b"1e-06", b"reflect": b"zero   "}.get(word, word[::-1])
    path.write_bytes(contents.replace(word, changed))
    assert_refused(path, "describe a model" if word == b"reflect" else "damaged")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(path, kept):
    size = path.stat().st_size
    os.truncate(path, int(kept * size) if kept < 1 else int(kept))
    assert_refused(path, "cut short")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert_refused(tmp_path / "none.safetensors", "does not exist")
    assert_refused(tmp_path, "is a folder")
    with pytest.raises(InputError, match="a file of no name"):
        read_model("")


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "vgg.safetensors"
    params = reference.random_params(channels=(2, 2, 2, 2, 2))
    weights.save_params(path, params, {"license": "CC BY 4.0"})
    assert_refused(path, "no feed-forward model of nstjax")
    safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, path)
    assert_refused(path, "no feed-forward model of nstjax")
    path.write_bytes(b"PK\x03\x04 a pickle of PyTorch, for example")
    assert_refused(path, "not readable as a safetensors file")


def test_another_schema_is_refused(path):
    contents = path.read_bytes()
    path.write_bytes(contents.replace(b"nstjax.model/1", b"nstjax.model/2"))
    assert_refused(path, "'nstjax.model/2', and this nstjax reads nstjax.model/1")


def test_a_large_file_is_refused_unread(path, monkeypatch):
    monkeypatch.setattr(model_file, "LARGEST_FILE_BYTES", path.stat().st_size)
    model = read_model(path)
    monkeypatch.setattr(model_file, "LARGEST_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match="larger than"):
        write_model(path, model)
    monkeypatch.setattr(safetensors, "safe_open", None)
    assert_refused(path, "is larger than")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        (
            "contract/0/convolution/kernel",
            np.zeros((9, 9, 3, 5), np.float32),
            r"another architecture: contract/0/convolution/kernel has shape "
            r"\[9, 9, 3, 5\], expected \[9, 9, 3, 4\]",
        ),
        ("last/convolution/bias", None, r"bias has shape none, expected \[3\]"),
        ("other", np.zeros(2), r"other has shape \[2\], expected none"),
        ("last/convolution/bias", np.zeros(3, np.int32), "is I32, not F16 or F32"),
    ],
)
def test_tensors_of_another_network_are_refused(path, name, tensor, words):
    tensors, metadata = parts(path)
    tensors[name] = tensor
    kept = {name: each for name, each in tensors.items() if each is not None}
    safetensors.numpy.save_file(kept, path, metadata)
    assert_refused(path, words)


ENCODER_FIELDS = dataclasses.asdict(ENCODER)


def of_another_scale(scale):
    """An encoder as JSON has it."""
    return {**ENCODER_FIELDS, "scales": {**ENCODER.scales, "conv5_4": scale}}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("architecture", '{"kind": "other"}', "does not describe a model"),
        ("architecture", '{"kind": "transform", "residual_blocks": 1.5}', "whole num"),
        ("architecture", '{"kind": "transform", "width": 1' + 400 * "0" + "}", "width"),
        ("architecture", "[" * 100_000, "its architecture is damaged"),
        ("architecture", "{", "its architecture is damaged"),
        ("styles", '["one"]', "the network has 3 styles, but 1 have a name"),
        ("styles", "[1, 2, 3]", "its styles is damaged"),
        ("styles", '["a", "a", "b"]', "'a' cannot name a style"),
        ("styles", '["x/../../victim", "a", "b"]', "victim' cannot name a style"),
        ("encoder", "{}", "its encoder is damaged"),
        ("encoder", ENCODER_FIELDS, "any painting needs an encoder"),
        ("encoder", {**ENCODER_FIELDS, "pool": "mean"}, "its encoder is damaged"),
        ("encoder", of_another_scale(0.0), "its encoder is damaged"),
        ("encoder", of_another_scale(np.inf), "its encoder is damaged"),
        ("encoder", of_another_scale(np.nan), "its encoder is damaged"),
        ("card", "[1]", "its card is damaged"),
        ("card", None, "its card is damaged"),
    ],
)
def test_metadata_that_describe_no_model_are_refused(path, key, value, words):
    tensors, metadata = parts(path)
    metadata[key] = json.dumps(value) if isinstance(value, dict) else value
    kept = {name: text for name, text in metadata.items() if text is not None}
    safetensors.numpy.save_file(tensors, path, kept)
    assert_refused(path, words)
