import functools
import importlib.resources
import os
import runpy
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from nstjax.errors import InputError
from nstjax.io import weights
from nstjax.network.architecture import CONV_LAYERS, kernel_shapes, layer_channels


@pytest.fixture
def params():
    """A slim network with VGG-19's layer names, each layer one channel wider."""
    rng = np.random.default_rng(0)
    widths = {layer: 4 + index for index, layer in enumerate(CONV_LAYERS)}
    return {
        layer: {
            "kernel": rng.standard_normal(shape, np.float32),
            "bias": rng.standard_normal(shape[-1], np.float32),
        }
        for layer, shape in kernel_shapes(widths).items()
    }


@pytest.fixture
def path(params, tmp_path):
    path = tmp_path / "slim.safetensors"
    weights.save_params(path, params, {"license": "CC BY 4.0"})
    return path


def test_params_come_back_as_they_were(params, path):
    loaded = weights.read_params(path)
    assert tuple(loaded.params) == CONV_LAYERS
    same = functools.partial(np.testing.assert_array_equal, strict=True)
    jax.tree.map(same, loaded.params, params)
    assert loaded.sha256 == weights.params_sha256(params)
    assert loaded.source == str(path)
    written = {"license": "CC BY 4.0", "params_sha256": loaded.sha256}
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == written
    # The hash depends on every number.
    params["conv5_4"]["bias"][-1] += 1e-3
    assert weights.params_sha256(params) != loaded.sha256


def test_a_failed_write_leaves_nothing(params, path):
    with pytest.raises(OSError):
        weights.save_params(path.parent, params)
    assert os.listdir(path.parent) == [path.name]


def test_a_damaged_file_is_refused(path):
    contents = path.read_bytes()
    header = 8 + int.from_bytes(contents[:8], "little")
    for position in (header, (header + len(contents)) // 2, len(contents) - 1):
        flipped = bytearray(contents)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        with pytest.raises(InputError, match="wrong hash"):
            weights.read_params(path)
    for kept in (-1, len(contents) // 2, 100, 4, 0):
        path.write_bytes(contents[:kept])
        with pytest.raises(InputError, match="cut short"):
            weights.read_params(path)


def test_a_file_without_a_hash_is_read(params, path):
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path)
    assert weights.read_params(path).sha256 == weights.params_sha256(params)


def zeros(*shape):
    return lambda tensor: np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("conv3_1/kernel", lambda tensor: tensor * np.nan, "that is not finite"),
        ("conv5_4/bias", lambda tensor: tensor - np.inf, "that is not finite"),
        ("conv4_2/bias", None, "no tensor conv4_2/bias"),
        ("fc6/kernel", zeros(2, 2), "unknown tensor fc6/kernel"),
        ("conv1_2/bias", np.float64, "conv1_2/bias is F64"),
        ("conv1_1/kernel", zeros(5, 5, 3, 4), r"got \[5, 5, 3, 4\]"),
        ("conv1_1/kernel", zeros(3, 3, 1, 4), r"expected \[3, 3, 3, 4\], got"),
        ("conv2_1/kernel", zeros(3, 3, 7, 6), r"expected \[3, 3, 5, 6\], got"),
        ("conv2_1/bias", zeros(7), r"expected \[6\], got \[7\]"),
        ("conv2_1/kernel", zeros(), r"got \[\]"),
    ],
)
def test_other_tensors_are_refused(path, name, change, expected):
    tensors = safetensors.numpy.load_file(path)
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors.get(name))
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(InputError, match=expected) as caught:
        weights.read_params(path)
    assert name in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path):
    for name in ("a.npz", "a", "a.pth", "a.h5", "a.safetensors"):
        (tmp_path / name).write_text("These are not the weights you are looking for.")
        with pytest.raises(InputError, match=name):
            weights.read_params(tmp_path / name)


@pytest.fixture
def no_vgg19(tmp_path, monkeypatch):
    """A machine without VGG-19; returns the path where the cached file would be."""
    cached = tmp_path / "cache" / "vgg19.safetensors"
    monkeypatch.delenv("NSTJAX_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "default_weights_path", lambda: str(cached))
    return cached


def test_auto_takes_what_is_set_then_cached_then_the_bundled(
    path, no_vgg19, monkeypatch
):
    bundled = weights.load_network("slim")
    assert bundled.source == "vgg19-slim (bundled)"
    assert "python -m weights_convert --download" in bundled.advice
    assert weights.load_network().sha256 == bundled.sha256

    no_vgg19.parent.mkdir()
    no_vgg19.write_bytes(path.read_bytes())
    assert weights.load_network().source == str(no_vgg19)
    assert weights.load_network().advice == ""

    other = no_vgg19.with_name("other.safetensors")
    monkeypatch.setenv("NSTJAX_WEIGHTS", str(other))
    with pytest.raises(InputError, match=r"exist: \$NSTJAX_WEIGHTS names it"):
        weights.load_network()
    other.write_bytes(path.read_bytes())
    assert weights.load_network().source == str(other)

    assert weights.load_network(str(path)).source == str(path)
    with pytest.raises(InputError, match="is a folder"):
        weights.load_network(str(path.parent))


def test_vgg19_is_asked_for_and_nothing_else_will_do(path, no_vgg19):
    with pytest.raises(InputError, match="python -m weights_convert --download"):
        weights.load_network("vgg19")
    no_vgg19.parent.mkdir()
    no_vgg19.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="is not VGG-19: conv1_1 has 4 channels"):
        weights.load_network("vgg19")
    wide = {
        layer: {"kernel": np.zeros(shape), "bias": np.zeros(shape[-1])}
        for layer, shape in kernel_shapes().items()
    }
    weights.save_params(no_vgg19, wide, half_precision=True)
    assert weights.load_network("vgg19").source == str(no_vgg19)


def test_random_weights_follow_the_seed(monkeypatch):
    widths = dict.fromkeys(CONV_LAYERS, 8)
    narrow = functools.partial(weights.random_params, widths=widths)
    monkeypatch.setattr(weights, "random_params", narrow)
    first = weights.load_network("random", seed=3)
    assert first.source == "random (seed 3)"
    assert weights.load_network("random", seed=3).sha256 == first.sha256
    assert weights.load_network("random", seed=4).sha256 != first.sha256


def test_half_and_double_precision_are_read_as_float32(params, path):
    weights.save_params(path, jax.tree.map(np.float64, params))
    assert weights.read_params(path).sha256 == weights.params_sha256(params)
    whole = path.stat().st_size
    sha256 = weights.save_params(path, params, half_precision=True)
    loaded = weights.read_params(path)
    assert loaded.sha256 == sha256 != weights.params_sha256(params)
    found = loaded.params["conv2_1"]["kernel"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float16(params["conv2_1"]["kernel"]))
    assert path.stat().st_size < 0.6 * whole


def test_bundled_network_has_every_layer_and_fits_into_the_wheel():
    network = weights.load_network("slim")
    widths = {layer: part["bias"].size for layer, part in network.params.items()}
    assert tuple(widths) == CONV_LAYERS
    assert all(widths[layer] < layer_channels(layer) for layer in CONV_LAYERS)
    with importlib.resources.as_file(weights.BUNDLED) as path:
        assert path.stat().st_size < 8e6


@pytest.mark.vgg19
def test_the_real_weights_have_one_hash_in_every_layout(shared, tmp_path, monkeypatch):
    writer = str(shared / "tools" / "write_vgg19_files.py")
    layouts = ("keras-v0.1", "keras-2", "matconvnet-xy", "matconvnet-beta16")
    monkeypatch.setattr(sys, "argv", [writer, str(tmp_path), *layouts])
    runpy.run_path(writer, run_name="__main__")
    loaded = []
    for path in sorted(tmp_path.iterdir()):
        loaded.append(weights.read_params(path))
        path.unlink()
    again = tmp_path / "again.safetensors"
    weights.save_params(again, loaded[0].params, {})
    loaded.append(weights.read_params(again))
    again.unlink()
    assert len(loaded) == 5
    assert len({each.sha256 for each in loaded}) == 1
