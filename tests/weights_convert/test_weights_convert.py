import os
import pathlib
import re
import runpy
import sys
from collections.abc import Callable

import h5py
import numpy as np
import pytest
import scipy.io
from vgg19_files import (
    BLOCKS,
    KERAS_2,
    KERAS_2016,
    as_bgr,
    fingerprinted_arrays,
    transposed,
    write_keras,
    write_matconvnet,
)

from nstjax.errors import InputError
from nstjax.network.vgg import CONV_LAYERS
from weights_convert import convert_file
from weights_convert.fingerprint import find_orientation, oriented
from weights_convert.source import LayerArrays

Writer = Callable[[pathlib.Path, LayerArrays], None]
LAYOUTS: dict[str, tuple[str, Writer, tuple[str, str, str]]] = {
    "keras 2016, with top": (
        "vgg.h5",
        lambda path, arrays: write_keras(path, as_bgr(arrays), KERAS_2016, top=True),
        ("Keras 2016", "BGR", "row, column"),
    ),
    "keras 2": (
        "vgg.hdf5",
        lambda path, arrays: write_keras(path, as_bgr(arrays), KERAS_2),
        ("Keras 2", "BGR", "row, column"),
    ),
    "keras 2, whole model": (
        "VGG.H5",
        lambda path, arrays: write_keras(
            path, as_bgr(arrays), KERAS_2, root="model_weights"
        ),
        ("Keras 2", "BGR", "row, column"),
    ),
    "matconvnet beta16": (
        "vgg.mat",
        lambda path, arrays: write_matconvnet(path, arrays, beta16=True),
        ("MatConvNet beta16", "RGB", "row, column"),
    ),
    "matconvnet, spatial axes exchanged": (
        "vgg.mat",
        lambda path, arrays: write_matconvnet(path, transposed(arrays), beta16=False),
        ("MatConvNet", "RGB", "column, row"),
    ),
}


@pytest.fixture(scope="module")
def arrays() -> LayerArrays:
    return fingerprinted_arrays()


@pytest.mark.parametrize("network", BLOCKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_params(
    layout: str, network: str, tmp_path: pathlib.Path
) -> None:
    arrays = fingerprinted_arrays(network)
    file_name, write, expected = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    params, metadata = convert_file(path)
    path.unlink()
    assert len(params) == sum(BLOCKS[network])
    for layer, (kernel, bias) in arrays.items():
        np.testing.assert_array_equal(params[layer]["kernel"], kernel)
        np.testing.assert_array_equal(params[layer]["bias"], bias)
        assert params[layer]["kernel"].dtype == np.float32
    assert metadata["network"] == network
    assert metadata["source_file"] == file_name
    assert re.fullmatch("[0-9a-f]{64}", metadata["source_sha256"])
    assert metadata["channel_order"] == "RGB"
    assert metadata["license"].startswith("CC BY 4.0")
    assert (
        metadata["source_layout"],
        metadata["source_channel_order"],
        metadata["source_spatial_order"],
    ) == expected


# One without the other is what the layouts above have.
@pytest.mark.parametrize("exchanged", [False, True])
def test_orientation_follows_from_the_weights(
    arrays: LayerArrays, exchanged: bool
) -> None:
    given = transposed(as_bgr(arrays)) if exchanged else arrays
    orientation = find_orientation(BLOCKS["VGG-19"], given)
    assert orientation.channels == ("BGR" if exchanged else "RGB")
    assert orientation.spatial == ("column, row" if exchanged else "row, column")
    for layer, (kernel, _) in arrays.items():
        found = oriented(layer, given[layer][0], orientation)
        np.testing.assert_array_equal(found, kernel)


def green_first(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel[:, :, [1, 0, 2], :], bias)}


def other_biases(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel, bias[::-1])}


def rotated(arrays: LayerArrays) -> LayerArrays:
    return {
        layer: (kernel[::-1, ::-1], bias) for layer, (kernel, bias) in arrays.items()
    }


def random_weights(arrays: LayerArrays) -> LayerArrays:
    rng = np.random.default_rng(1)
    return {
        layer: (rng.standard_normal(kernel.shape, np.float32), bias)
        for layer, (kernel, bias) in arrays.items()
    }


def one_nan(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv5_3"]
    kernel = kernel.copy()
    kernel[1, 2, 3, 4] = np.nan
    return {**arrays, "conv5_3": (kernel, bias)}


def one_infinite_bias(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv4_1"]
    return {**arrays, "conv4_1": (kernel, np.where(bias == bias[7], np.inf, bias))}


def slimmer_conv2_1(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv2_1"]
    return {**arrays, "conv2_1": (kernel[..., :96], bias[:96])}


def three_in_block_5(arrays: LayerArrays) -> LayerArrays:
    return {layer: arrays[layer] for layer in arrays if layer != "conv5_4"}


def integers(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv4_4"]
    return {**arrays, "conv4_4": (kernel.astype(np.int32), bias)}


def other_conv3_3(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv3_3"]
    return {**arrays, "conv3_3": (-kernel, bias)}


OTHER = "not the weights of ImageNet's VGG-19"
REFUSED: dict[Callable[[LayerArrays], LayerArrays], str] = {
    green_first: OTHER,
    other_biases: OTHER,
    other_conv3_3: OTHER,
    rotated: OTHER,
    random_weights: OTHER,
    one_nan: "conv5_3 holds a number that is not finite",
    one_infinite_bias: "conv4_1 holds a number that is not finite",
    slimmer_conv2_1: re.escape("expected [3, 3, 64, 128], got [3, 3, 64, 96]"),
    integers: "conv4_4 holds int32",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_other_arrays_are_refused(
    arrays: LayerArrays, change: Callable[[LayerArrays], LayerArrays]
) -> None:
    with pytest.raises(InputError, match=REFUSED[change]):
        find_orientation(BLOCKS["VGG-19"], change(arrays))


@pytest.mark.parametrize(
    ("change", "suffix", "match"),
    [
        (slimmer_conv2_1, ".mat", REFUSED[slimmer_conv2_1]),
        (three_in_block_5, ".mat", "2, 2, 4, 4, 3 convolutions, so it is neither VGG"),
        (three_in_block_5, ".h5", "2, 2, 4, 4, 3 convolutions, so it is neither VGG"),
        (integers, ".h5", REFUSED[integers]),
        # This is not seen as it is read.
        (other_biases, ".h5", OTHER),
    ],
)
def test_files_of_other_networks_are_refused(
    arrays: LayerArrays,
    change: Callable[[LayerArrays], LayerArrays],
    suffix: str,
    match: str,
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / f"other{suffix}"
    if suffix == ".h5":
        write_keras(path, change(arrays), KERAS_2)
    else:
        write_matconvnet(path, change(arrays), beta16=False)
    with pytest.raises(InputError, match=match) as caught:
        convert_file(path)
    path.unlink()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_declared_shapes_are_checked_before_anything_is_read(
    arrays: LayerArrays, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "huge.h5"
    write_keras(path, arrays, KERAS_2)
    with h5py.File(path, "r+") as file:
        name = "block1_conv1/block1_conv1/kernel:0"
        del file[name]
        # 16 TB if it were read; on disk it is a few bytes of header.
        file.create_dataset(
            name, (3, 3, 2**20, 2**19), np.float32, chunks=(1, 1, 1024, 1024)
        )
    with pytest.raises(InputError, match="conv1_1's kernel has the wrong shape"):
        convert_file(path)
    path.unlink()


def test_another_mean_image_is_refused(
    arrays: LayerArrays, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "other.mat"
    write_matconvnet(path, arrays, beta16=True, mean=[0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="mean color"):
        convert_file(path)


def resnet(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["conv1_conv/conv1_conv/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)


def dataset_for_group(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights"] = 1.0


BROKEN_FILES: dict[str, tuple[str, Callable[[pathlib.Path], object], str]] = {
    "resnet": ("resnet.h5", resnet, "no layer block1_conv1"),
    "text as h5": ("a.h5", lambda path: path.write_text("weights"), "HDF5"),
    "text as mat": ("a.mat", lambda path: path.write_text("weights\n" * 99), "MATLAB"),
    "empty h5": ("a.h5", lambda path: path.touch(), "empty"),
    "empty mat": ("a.mat", lambda path: path.touch(), "empty"),
    "folder": ("a.h5", lambda path: path.mkdir(), "is a folder"),
    "absent": ("a.h5", lambda path: None, "does not exist"),
    "other suffix": ("a.pth", lambda path: path.write_text("weights"), "end in .h5"),
    "h5 as mat": ("a.mat", resnet, "MATLAB"),
    "mat without layers": (
        "a.mat",
        lambda path: scipy.io.savemat(path, {"layers": 3.0}),
        "no MatConvNet list of layers",
    ),
    "h5 with a dataset for a group": ("a.h5", dataset_for_group, "has no layer"),
}


@pytest.mark.parametrize("broken", BROKEN_FILES)
def test_broken_files_are_refused_in_one_line(
    broken: str, tmp_path: pathlib.Path
) -> None:
    name, write, expected = BROKEN_FILES[broken]
    write(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        convert_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["keras 2", "matconvnet beta16"])
def test_truncated_files_are_refused(
    arrays: LayerArrays, layout: str, tmp_path: pathlib.Path
) -> None:
    file_name, write, _ = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    whole = path.stat().st_size
    for kept in (0.999, 0.5, 0.1):
        os.truncate(path, int(kept * whole))
        with pytest.raises(InputError, match="cut short"):
            convert_file(path)
    path.unlink()


@pytest.mark.vgg19
def test_the_real_weights_are_the_same_in_every_layout(
    shared: pathlib.Path, tmp_path: pathlib.Path, monkeypatch
) -> None:
    writer = shared / "tools" / "write_vgg19_files.py"
    # Others are converted in test_weights.py.
    names = ("keras-2", "matconvnet-beta16")
    monkeypatch.setattr(sys, "argv", [str(writer), str(tmp_path), *names])
    runpy.run_path(str(writer), run_name="__main__")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 2
    converted = {path.name: convert_file(path)[0] for path in paths}
    keras = converted["vgg19_keras2_notop.h5"]
    with h5py.File(tmp_path / "vgg19_keras2_notop.h5") as file:
        bgr = file["block1_conv1/block1_conv1/kernel:0"][()]
    np.testing.assert_array_equal(keras["conv1_1"]["kernel"], bgr[:, :, ::-1, :])
    for path in paths:
        path.unlink()
        for layer in CONV_LAYERS:
            for part in ("kernel", "bias"):
                np.testing.assert_array_equal(
                    converted[path.name][layer][part], keras[layer][part]
                )
