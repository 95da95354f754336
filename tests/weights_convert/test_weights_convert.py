import os
import re

import h5py
import numpy as np
import pytest
import scipy.io
from vgg19_files import (
    ARCHITECTURES,
    KERAS_2,
    KERAS_2016,
    as_bgr,
    fingerprinted_arrays,
    transposed,
    write_keras,
    write_matconvnet,
)

from nstjax.errors import InputError
from weights_convert import convert_file
from weights_convert.fingerprint import find_orientation, oriented

LAYOUTS = {
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
def arrays():
    return fingerprinted_arrays()


@pytest.mark.parametrize("network", ARCHITECTURES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_params(layout, network, tmp_path):
    arrays = fingerprinted_arrays(network)
    file_name, write, expected = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    params, metadata = convert_file(path)
    path.unlink()
    assert len(params) == sum(ARCHITECTURES[network].blocks)
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
def test_orientation_follows_from_the_weights(arrays, exchanged):
    given = transposed(as_bgr(arrays)) if exchanged else arrays
    orientation = find_orientation(ARCHITECTURES["VGG-19"], given)
    assert orientation.channels == ("BGR" if exchanged else "RGB")
    assert orientation.spatial == ("column, row" if exchanged else "row, column")
    for layer, (kernel, _) in arrays.items():
        found = oriented(layer, given[layer][0], orientation)
        np.testing.assert_array_equal(found, kernel)


def changed(layer, kernel=lambda kernel: kernel, bias=lambda bias: bias):
    """Makes one layer of arrays another."""

    def change(arrays):
        return {**arrays, layer: (kernel(arrays[layer][0]), bias(arrays[layer][1]))}

    return change


def with_first(value):
    def change(values):
        values = values.copy()
        values.flat[0] = value
        return values

    return change


def three_in_block_5(arrays):
    return {layer: arrays[layer] for layer in arrays if layer != "conv5_4"}


OTHER = "not the weights of ImageNet's VGG-19"
SLIMMER = changed("conv2_1", lambda kernel: kernel[..., :96], lambda bias: bias[:96])
SLIMMER_SAYS = re.escape("expected [3, 3, 64, 128], got [3, 3, 64, 96]")
INTEGERS = changed("conv4_4", lambda kernel: kernel.astype(np.int32))
OTHER_BIASES = changed("conv1_1", bias=lambda bias: bias[::-1])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        # Green first.
        (changed("conv1_1", lambda kernel: kernel[:, :, [1, 0, 2], :]), OTHER),
        (changed("conv1_1", lambda kernel: kernel[::-1, ::-1]), OTHER),
        (changed("conv1_1", with_first(0.1)), OTHER),
        (changed("conv3_3", with_first(0.1)), OTHER),
        (OTHER_BIASES, OTHER),
        (changed("conv5_3", with_first(np.nan)), "conv5_3 holds a number that is not"),
        (changed("conv4_1", bias=with_first(np.inf)), "conv4_1 holds a number that is"),
        (SLIMMER, SLIMMER_SAYS),
        (INTEGERS, "conv4_4 holds int32"),
    ],
)
def test_other_arrays_are_refused(arrays, change, match):
    with pytest.raises(InputError, match=match):
        find_orientation(ARCHITECTURES["VGG-19"], change(arrays))


@pytest.mark.parametrize(
    ("change", "suffix", "match"),
    [
        (SLIMMER, ".mat", SLIMMER_SAYS),
        (three_in_block_5, ".mat", "2, 2, 4, 4, 3 convolutions, so it is neither VGG"),
        (three_in_block_5, ".h5", "2, 2, 4, 4, 3 convolutions, so it is neither VGG"),
        (INTEGERS, ".h5", "conv4_4 holds int32"),
        # This is not seen as it is read.
        (OTHER_BIASES, ".h5", OTHER),
    ],
)
def test_files_of_other_networks_are_refused(arrays, change, suffix, match, tmp_path):
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


def test_declared_shapes_are_checked_before_anything_is_read(arrays, tmp_path):
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


def test_another_mean_image_is_refused(arrays, tmp_path):
    path = tmp_path / "other.mat"
    write_matconvnet(path, arrays, beta16=True, mean=[0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="mean color"):
        convert_file(path)


def resnet(path):
    with h5py.File(path, "w") as file:
        file["conv1_conv/conv1_conv/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)


def dataset_for_group(path):
    with h5py.File(path, "w") as file:
        file["model_weights"] = 1.0


BROKEN_FILES = {
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
def test_broken_files_are_refused_in_one_line(broken, tmp_path):
    name, write, expected = BROKEN_FILES[broken]
    write(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        convert_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["keras 2", "matconvnet beta16"])
def test_truncated_files_are_refused(arrays, layout, tmp_path):
    file_name, write, _ = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    whole = path.stat().st_size
    for kept in (0.999, 0.5, 0.1):
        os.truncate(path, int(kept * whole))
        with pytest.raises(InputError, match="cut short"):
            convert_file(path)
    path.unlink()
