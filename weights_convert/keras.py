"""Keras' VGG-19 weight files (HDF5)."""

import h5py
import numpy as np

from nstjax.errors import InputError
from nstjax.io.hdf5 import check_own_data, lookup
from nstjax.network.vgg import CONV_LAYERS
from weights_convert.source import (
    WHAT_TO_DO,
    LayerArrays,
    Source,
    check_declared,
    missing_layer,
)

# Where each layout keeps a layer's kernel and bias, by Keras' name for the layer.
LAYOUTS = {
    "Keras 2016": ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0"),
    "Keras 2": ("{0}/{0}/kernel:0", "{0}/{0}/bias:0"),
}


def read_keras(path: str) -> Source:
    """Read VGG-19's convolutions from a Keras HDF5 file.

    Both published layouts are known, that of the 2016 release and that of Keras 2, as
    ``save_weights`` writes them or below ``model_weights`` as ``Model.save`` does.
    The fully connected layers (fc1, fc2, predictions), where present, are never read.

    Args:
      path: the ``.h5`` file.

    Returns:
      The layout's name and the arrays as the file orders them.

    Raises:
      InputError: the file cannot be read, or is not VGG-19.

    Source: ``keras_applications/vgg19.py`` (layer names and weight files).
    """
    try:
        with h5py.File(path, "r") as file:
            root = lookup(file, "model_weights")
            return _read_group(file if root is None else root)
    except InputError:
        raise
    # h5py reports damage inside a file as RuntimeError, KeyError, ValueError or others,
    # depending on the structure that the damage hit.
    except Exception as error:
        raise InputError(
            "the file is not readable as HDF5, perhaps cut short "
            f"({type(error).__name__}: {error}): {WHAT_TO_DO}"
        ) from error


def _read_group(root: h5py.Group) -> Source:
    layout, names = _find_layout(root)
    arrays: LayerArrays = {}
    for layer in CONV_LAYERS:
        kernel, bias = (lookup(root, name.format(_keras_name(layer))) for name in names)
        if not (isinstance(kernel, h5py.Dataset) and isinstance(bias, h5py.Dataset)):
            raise missing_layer(layer)
        check_declared(layer, kernel.shape, bias.shape, kernel.dtype, bias.dtype)
        for part in (kernel, bias):
            check_own_data(layer, part)
        arrays[layer] = (
            np.asarray(kernel[()], np.float32),
            np.asarray(bias[()], np.float32),
        )
    return Source(layout, arrays)


def _find_layout(root: h5py.Group) -> tuple[str, tuple[str, str]]:
    """The first layout that holds VGG-19's first convolution."""
    first = _keras_name(CONV_LAYERS[0])
    for layout, names in LAYOUTS.items():
        if lookup(root, names[0].format(first)) is not None:
            return layout, names
    raise InputError(
        f"the file has no layer {first} in a layout that Keras wrote for VGG-19: "
        f"{WHAT_TO_DO}"
    )


def _keras_name(layer: str) -> str:
    block, index = layer.removeprefix("conv").split("_")
    return f"block{block}_conv{index}"
