"""A foreign weight file turned into params, verified on the way."""

import hashlib
import os

import numpy as np

from nstjax.errors import InputError
from nstjax.io.paths import StrPath
from nstjax.io.stored import check_file
from weights_convert.fingerprint import find_orientation, oriented
from weights_convert.keras import read_keras
from weights_convert.matconvnet import read_matconvnet
from weights_convert.source import WHAT_TO_DO, FloatArray

READERS = {".h5": read_keras, ".hdf5": read_keras, ".mat": read_matconvnet}
LICENSE = "CC BY 4.0, Visual Geometry Group, University of Oxford"


def convert_file(
    path: StrPath,
) -> tuple[dict[str, dict[str, FloatArray]], dict[str, str]]:
    """Read VGG-19 or VGG-16 from a Keras ``.h5`` or MatConvNet ``.mat`` file.

    Returns:
      ``params["conv4_2"]["kernel"]`` ``[3, 3, in, out]`` (row, column, in, out) and
      ``params["conv4_2"]["bias"]`` ``[out]``, NumPy float32 arrays, for RGB input in
      0..255 minus ``nstjax.network.vgg.MEAN_RGB``; and where they come from.

    Raises:
      InputError: the file cannot be read, or is neither network.
    """
    path = os.fspath(path)
    check_file(path, WHAT_TO_DO)
    reader = READERS.get(os.path.splitext(path)[1].lower())
    if reader is None:
        raise InputError(f"{path} does not end in .h5, .hdf5 or .mat: {WHAT_TO_DO}")
    try:
        if os.path.getsize(path) == 0:
            raise InputError(f"the file is empty: {WHAT_TO_DO}")
        # First, so that a file that may not be read fails as such, not as damaged.
        with open(path, "rb") as file:
            source_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        source = reader(path)
        orientation = find_orientation(source)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    params = {
        layer: {
            "kernel": np.ascontiguousarray(oriented(layer, kernel, orientation)),
            "bias": bias,
        }
        for layer, (kernel, bias) in source.arrays.items()
    }
    return params, {
        "network": source.architecture.name,
        "source_file": os.path.basename(path),
        "source_layout": source.layout,
        "source_sha256": source_sha256,
        "source_channel_order": orientation.channels,
        "source_spatial_order": orientation.spatial,
        "channel_order": "RGB",
        "license": LICENSE,
    }
