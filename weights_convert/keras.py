"""Keras' VGG-19 and VGG-16 weight files (HDF5)."""

import re
from typing import Any

import h5py

from nstjax.errors import InputError
from nstjax.io.hdf5_objects import lookup
from weights_convert.source import WHAT_TO_DO, Source, read_source

# Where each layout keeps a layer's kernel and bias, by Keras' name for the layer.
LAYOUTS = {
    "Keras 2016": ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0"),
    "Keras 2": ("{0}/{0}/kernel:0", "{0}/{0}/bias:0"),
}
FIRST = "block1_conv1"


def read_keras(path: str) -> Source:
    """Read the convolutions from a Keras HDF5 file.

    Both published layouts are known, that of the 2016 release and that of Keras 2, as
    ``save_weights`` writes them or below ``model_weights`` as ``Model.save`` does.
    The fully connected layers (fc1, fc2, predictions), where present, are never read.

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
    layouts = [name for name in LAYOUTS if lookup(root, LAYOUTS[name][0].format(FIRST))]
    if not layouts:
        raise InputError(
            f"the file has no layer {FIRST} in a layout that Keras wrote for VGG: "
            f"{WHAT_TO_DO}"
        )
    matches = (re.fullmatch(r"block(\d)_conv(\d)", name) for name in root)
    keras = {f"conv{match[1]}_{match[2]}": match[0] for match in matches if match}

    def find(layer: str) -> tuple[Any, Any] | None:
        places = (name.format(keras[layer]) for name in LAYOUTS[layouts[0]])
        kernel, bias = (lookup(root, place) for place in places)
        if not (isinstance(kernel, h5py.Dataset) and isinstance(bias, h5py.Dataset)):
            return None
        return kernel, bias

    return read_source(layouts[0], keras, find)
