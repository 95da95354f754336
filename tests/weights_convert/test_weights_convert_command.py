"""python -m weights_convert."""

import os

import numpy as np
import pytest
from vgg19_files import KERAS_2016, as_bgr, fingerprinted_arrays, write_keras

import nstjax
from nstjax.errors import InputError
from nstjax.io.weights import params_sha256, read_params

CONVERT = "weights_convert"


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "vgg19.h5"
    write_keras(path, as_bgr(fingerprinted_arrays()), KERAS_2016)
    yield path
    path.unlink()


def test_the_command_converts(keras_file, tmp_path, monkeypatch, program):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    output = tmp_path / "vgg19.safetensors"
    flags = (f"--input={keras_file}", f"--output={output}")
    status, out, err = program(CONVERT, *flags)
    assert (status, err) == (0, "")
    sha256 = read_params(output).sha256
    for said in (sha256, "Keras 2016", "BGR", "row, column"):
        assert said in out
    assert read_params(keras_file).sha256 == sha256
    assert os.listdir(tmp_path) == [output.name]


def test_vgg16_goes_to_a_file_of_its_own(tmp_path, monkeypatch, program):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "vgg16.h5"
    write_keras(path, as_bgr(fingerprinted_arrays("VGG-16")), KERAS_2016)
    status, out, err = program(CONVERT, f"--input={path}")
    assert (status, err) == (0, "")
    assert "VGG-16 verified" in out
    assert os.listdir(tmp_path / "nstjax") == ["vgg16.safetensors"]
    params = read_params(tmp_path / "nstjax" / "vgg16.safetensors").params
    assert read_params(path).sha256 == params_sha256(params)
    random = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    result = nstjax.stylize(*random, params, "johnson2015", size=32, steps=1)
    assert result.image.shape == (32, 32, 3)
    with pytest.raises(InputError, match="VGG-16 has no layer conv3_4"):
        nstjax.features(params, random[0], ["conv3_4"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--input=FILE or --download"),
        (["--download", "--input=a.h5"], "--input=FILE or --download"),
        (["--imput=a.h5"], "imput"),
        (["--download=perhaps"], "download"),
        (["a.h5"], "unexpected argument a.h5"),
        (["--input=absent.h5", "--output={folder}/out.safetensors"], "does not exist"),
        (["--input={folder}/text.h5", "--output={folder}/out.safetensors"], "HDF5"),
        (["--input={good}", "--output={folder}/out.h5"], ".safetensors"),
        (["--input={good}", "--output={folder}/no/out.safetensors"], "folder"),
        (["--input={good}", "--output={folder}/taken.safetensors"], "is a folder"),
    ],
)
def test_the_command_fails_in_one_line(
    arguments, expected, keras_file, tmp_path, monkeypatch, program
):
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "taken.safetensors").mkdir()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = {"folder": tmp_path, "good": keras_file}
    status, _, err = program(CONVERT, *(each.format(**places) for each in arguments))
    assert status == 2
    assert err.startswith("weights_convert: error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert not (tmp_path / "cache" / "nstjax" / "vgg19.safetensors").exists()
    assert sorted(tmp_path.iterdir()) == before
