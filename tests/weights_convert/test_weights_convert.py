import functools
import os
import re
import struct
from unittest import mock

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
from nstjax.network.architecture import VGG16
from weights_convert import convert_file
from weights_convert.fingerprint import find_orientation, oriented
from weights_convert.source import Source

# Files' names, how they are written, and what is said of them.
ROW, COLUMN = "row, column", "column, row"
LAYOUTS = {
    "vgg.h5": ({"names": KERAS_2016, "top": True}, ("Keras 2016", "BGR", ROW)),
    "vgg.hdf5": ({"names": KERAS_2}, ("Keras 2", "BGR", ROW)),
    "VGG.H5": ({"names": KERAS_2, "root": "model_weights"}, ("Keras 2", "BGR", ROW)),
    "beta16.mat": ({"beta16": True}, ("MatConvNet beta16", "RGB", ROW)),
    "vgg.mat": ({"beta16": False}, ("MatConvNet", "RGB", COLUMN)),
}


def write(path, arrays, **options):
    writer = write_matconvnet if path.suffix == ".mat" else write_keras
    writer(path, arrays, **options)


def in_order(arrays, channels, spatial):
    arrays = as_bgr(arrays) if channels == "BGR" else arrays
    return transposed(arrays) if spatial == COLUMN else arrays


@pytest.fixture(scope="module")
def arrays():
    return fingerprinted_arrays()


@pytest.mark.parametrize("network", ARCHITECTURES)
@pytest.mark.parametrize("file_name", LAYOUTS)
def test_every_layout_gives_the_same_params(file_name, network, tmp_path):
    arrays = fingerprinted_arrays(network)
    options, expected = LAYOUTS[file_name]
    path = tmp_path / file_name
    write(path, in_order(arrays, *expected[1:]), **options)
    params, metadata = convert_file(path)
    assert len(params) == sum(ARCHITECTURES[network].blocks)
    for layer, (kernel, bias) in arrays.items():
        np.testing.assert_array_equal(params[layer]["kernel"], kernel)
        np.testing.assert_array_equal(params[layer]["bias"], bias)
        assert params[layer]["kernel"].dtype == np.float32
    assert re.fullmatch("[0-9a-f]{64}", metadata.pop("source_sha256"))
    assert metadata.pop("license").startswith("CC BY 4.0")
    names = ("source_layout", "source_channel_order", "source_spatial_order")
    assert metadata == {
        "network": network,
        "source_file": file_name,
        "channel_order": "RGB",
        **dict(zip(names, expected, strict=True)),
    }


# One without the other is what the layouts above have.
@pytest.mark.parametrize("axes", [("RGB", ROW), ("BGR", COLUMN)])
def test_orientation_follows_from_the_weights(arrays, axes):
    given = in_order(arrays, *axes)
    orientation = find_orientation(Source("", ARCHITECTURES["VGG-19"], given))
    assert orientation == axes
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


OTHER_BIASES = changed("conv1_1", bias=lambda bias: bias[::-1])


@pytest.mark.parametrize(
    "change",
    [
        # Green first.
        changed("conv1_1", lambda kernel: kernel[:, :, [1, 0, 2], :]),
        changed("conv1_1", lambda kernel: kernel[::-1, ::-1]),
        changed("conv1_1", with_first(0.1)),
        changed("conv3_3", with_first(0.1)),
        OTHER_BIASES,
    ],
)
def test_other_arrays_are_refused(arrays, change):
    with pytest.raises(InputError, match="not the weights of ImageNet's VGG-19"):
        find_orientation(Source("", ARCHITECTURES["VGG-19"], change(arrays)))


def three_in_block_5(arrays):
    return {layer: arrays[layer] for layer in arrays if layer != "conv5_4"}


KERAS, MATCONVNET = {"names": KERAS_2}, {"beta16": False}
SLIMMER = changed("conv2_1", lambda kernel: kernel[..., :96], lambda bias: bias[:96])
SLIMMER_SAYS = re.escape("expected [3, 3, 64, 128], got [3, 3, 64, 96]")
INTEGERS = changed("conv4_4", lambda kernel: kernel.astype(np.int32))
BLOCKS = "2, 2, 4, 4, 3 convolutions, so it is neither VGG"


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        (SLIMMER, MATCONVNET, SLIMMER_SAYS),
        (three_in_block_5, MATCONVNET, BLOCKS),
        (three_in_block_5, KERAS, BLOCKS),
        (INTEGERS, KERAS, "conv4_4 holds int32"),
        (changed("conv5_3", with_first(np.nan)), KERAS, "conv5_3 holds a number that"),
        (changed("conv4_1", bias=with_first(np.inf)), MATCONVNET, "conv4_1 holds a nu"),
        (dict, {"beta16": True, "mean": [0.0, 0.0, 0.0]}, "mean color"),
        # This is not seen as it is read.
        (OTHER_BIASES, KERAS, "not the weights of ImageNet's VGG-19"),
    ],
)
def test_files_of_other_networks_are_refused(arrays, change, options, match, tmp_path):
    path = tmp_path / ("other.h5" if "names" in options else "other.mat")
    write(path, change(arrays), **options)
    with pytest.raises(InputError, match=rf"^{path}: [^\n]*{match}[^\n]*$"):
        convert_file(path)


def hdf5(name, shape):
    def write(path):
        with h5py.File(path, "w") as file:
            file.create_dataset(name, shape, "f4")

    return write


def mat(**values):
    return lambda path: scipy.io.savemat(path, values, do_compression=True)


def kernels_alone(path):
    write_keras(path, dict.fromkeys(VGG16.convolutions, (1.0,)), KERAS_2[:1])


def huge_kernel(path):
    write_keras(path, dict.fromkeys(VGG16.convolutions, (1.0, 1.0)), KERAS_2)
    with h5py.File(path, "r+") as file:
        kernel = "block1_conv1/block1_conv1/kernel:0"
        del file[kernel]
        # 16 TB if it were read; on disk it is a few bytes of header.
        file.create_dataset(kernel, (3, 3, 2**20, 2**19), "f4", chunks=(1, 1, 99, 99))


def text(contents):
    return lambda path: path.write_text(contents)


RESNET = hdf5("conv1_conv/conv1_conv/kernel:0", (7, 7, 3, 64))
LONG = bytes(126) + b"IM" + struct.pack("<4I", 14, 64, 6, 2**20)
KERNELS = [{"name": name, "weights": 1.0} for name in VGG16.convolutions]
NESTED = functools.reduce(lambda inner, _: {"a": inner}, range(20), 1.0)


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("resnet.h5", RESNET, "no layer block1_conv1"),
        ("text.h5", text("weights"), "HDF5"),
        ("text.mat", text("weights\n" * 99), "MATLAB 5 file.*another format's"),
        ("empty.h5", text(""), "empty"),
        ("empty.mat", text(""), "empty"),
        ("folder.h5", lambda path: path.mkdir(), "is a folder"),
        ("absent.h5", lambda path: None, "does not exist"),
        ("a.pth", text("weights"), "end in .h5"),
        ("hdf5.mat", RESNET, "MATLAB"),
        ("number.mat", mat(layers=3.0), "no MatConvNet list of layers"),
        ("deep.mat", mat(layers=NESTED), "arrays more than 16 deep"),
        ("long.mat", lambda path: path.write_bytes(LONG), "description of 1048576 byt"),
        ("kernels.h5", kernels_alone, "conv1_1 has no kernel and bias"),
        ("kernels.mat", mat(layers=KERNELS), "conv1_1 has no kernel and bias"),
        ("dataset for a group.h5", hdf5("model_weights", ()), "has no layer"),
        ("huge.h5", huge_kernel, "conv1_1's kernel has the wrong shape"),
    ],
)
def test_broken_files_are_refused_in_one_line(name, write, expected, tmp_path):
    write(tmp_path / name)
    with pytest.raises(InputError, match=rf"^[^\n]*{expected}[^\n]*$"):
        convert_file(tmp_path / name)


def test_a_file_without_permission_is_told(tmp_path):
    (tmp_path / "a.h5").write_text("weights")
    # The superuser, as in containers, may read anything.
    denied = mock.Mock(side_effect=PermissionError(13, "Permission denied"))
    with (
        mock.patch("weights_convert.convert.open", denied, create=True),
        pytest.raises(InputError, match=r"a\.h5 cannot be read: Permission denied"),
    ):
        convert_file(tmp_path / "a.h5")


@pytest.mark.parametrize("file_name", ["vgg.hdf5", "beta16.mat"])
def test_truncated_files_are_refused(arrays, file_name, tmp_path):
    path = tmp_path / file_name
    write(path, arrays, **LAYOUTS[file_name][0])
    whole = path.stat().st_size
    for kept in (0.999, 0.5, 0.1):
        os.truncate(path, int(kept * whole))
        with pytest.raises(InputError, match="cut short"):
            convert_file(path)
