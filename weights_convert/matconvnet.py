"""MatConvNet's files ``imagenet-vgg-verydeep-19.mat`` and ``…-16.mat``."""

import os
from typing import Any

import numpy as np
import scipy.io

from nstjax.errors import InputError
from nstjax.network.vgg import MEAN_RGB
from weights_convert.mat_size import check_mat
from weights_convert.source import WHAT_TO_DO, Source, read_source

# The published files have 535 MB; loadmat takes a whole variable into memory.
LARGEST_FILE_BYTES = 2**30
VARIABLES = ["layers", "meta", "normalization"]


def read_matconvnet(path: str) -> Source:
    """Read the convolutions from a MatConvNet ``.mat`` file of at most 1 GiB.

    The current layout and that of the beta16 release are known; they differ in the
    order of a layer's fields and in where the mean image is. The layers after pool5
    are ignored.

    Source: https://www.vlfeat.org/matconvnet/pretrained/
    """
    size = os.path.getsize(path)
    if size > LARGEST_FILE_BYTES:
        raise InputError(
            f"the file has {size} bytes, more than any VGG .mat file: {WHAT_TO_DO}"
        )
    try:
        check_mat(path, VARIABLES)
        contents = scipy.io.loadmat(path, simplify_cells=True, variable_names=VARIABLES)
    # On a damaged file loadmat raises whatever its parser stumbled over, from
    # zlib.error to IndexError: no narrower class covers them.
    except Exception as error:
        raise InputError(
            "the file is not readable as a MATLAB 5 file, perhaps cut short "
            f"({type(error).__name__}: {error}): {WHAT_TO_DO}"
        ) from error
    layers = contents.get("layers")
    if not isinstance(layers, list):
        raise InputError(f"the file has no MatConvNet list of layers: {WHAT_TO_DO}")
    weights = {
        str(layer["name"]): layer["weights"]
        for layer in layers
        if isinstance(layer, dict) and "name" in layer and "weights" in layer
    }

    def find(layer: str) -> tuple[Any, Any] | None:
        if len(np.shape(weights[layer])) != 1 or len(weights[layer]) != 2:
            return None
        kernel, bias = map(np.asarray, weights[layer])
        return kernel, bias.reshape(-1)

    beta16 = "normalization" in contents
    _check_mean(contents if beta16 else contents.get("meta"))
    return read_source("MatConvNet beta16" if beta16 else "MatConvNet", weights, find)


def _check_mean(parent: Any) -> None:
    """Refuse another mean image: the kernels would be fit for other input."""
    try:
        mean = np.asarray(parent["normalization"]["averageImage"], np.float64)
        mean = mean.reshape(-1, 3).mean(axis=0)
    except (KeyError, TypeError, ValueError, IndexError):
        # The weights are checked by themselves: a file without the mean is complete.
        return
    # Other releases round the mean differently; another network's differs by more.
    if not np.allclose(mean, MEAN_RGB, atol=0.5):
        raise InputError(
            f"the file's mean color is {np.round(mean, 3).tolist()}, "
            f"expected VGG's {np.round(MEAN_RGB, 3).tolist()}: {WHAT_TO_DO}"
        )
