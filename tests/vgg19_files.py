"""Arrays that pass for VGG's, and files of them as other programs write them."""

import h5py
import numpy as np
import scipy.io

from nstjax.network import architecture
from nstjax.network.architecture import kernel_shapes
from nstjax.network.vgg import MEAN_RGB
from weights_convert.fingerprint import FIGURES

KERAS_2016 = ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0")
KERAS_2 = ("{0}/{0}/kernel:0", "{0}/{0}/bias:0")
ARCHITECTURES = {each.name: each for each in architecture.ARCHITECTURES}


def fingerprinted_arrays(network="VGG-19"):
    """Random RGB (row, column) arrays with a network's shapes and published figures."""
    rng = np.random.default_rng(0)
    arrays = {
        layer: (
            0.01 * rng.standard_normal(shape, np.float32),
            rng.standard_normal(shape[-1], np.float32),
        )
        for layer, shape in kernel_shapes(architecture=ARCHITECTURES[network]).items()
    }
    figures = FIGURES[network]
    kernel, bias = arrays["conv1_1"]
    bias[:4] = figures.biases
    kernel[:, :, 2, 0] = figures.blue
    kernel[0, 0, :, 0] = figures.corner
    kernel, bias = arrays["conv3_3"]
    kernel[0, 0, 0, 0], bias[0] = figures.deeper
    return arrays


def as_bgr(arrays):
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel[:, :, ::-1, :], bias)}


def transposed(arrays):
    return {
        layer: (kernel.transpose(1, 0, 2, 3), bias)
        for layer, (kernel, bias) in arrays.items()
    }


def write_keras(path, arrays, names, root="/", top=False):
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        for layer, values in arrays.items():
            keras = layer.replace("conv", "block").replace("_", "_conv")
            for name, value in zip(names, values, strict=True):
                group[name.format(keras)] = value
        if top:
            for keras in ("fc1", "fc2", "predictions"):
                for name in names:
                    group[name.format(keras)] = np.zeros((4, 4), np.float32)


def write_matconvnet(path, arrays, beta16, mean=MEAN_RGB):
    def cell(values):
        made = np.empty((1, len(values)), object)
        for index, value in enumerate(values):
            made[0, index] = value
        return made

    layers = []
    top = np.ones((1, 1, 4, 4), np.float32)
    for layer, (kernel, bias) in {**arrays, "fc6": (top, top[0, 0, 0])}.items():
        bias = bias.reshape(-1, 1) if beta16 else bias.reshape(1, -1)
        weights = cell([np.asfortranarray(kernel), bias])
        fields = {"name": layer, "type": "conv", "weights": weights}
        if beta16:
            fields = dict(reversed(fields.items()))
        layers += [fields, {"type": "relu", "name": layer.replace("conv", "relu")}]
    average = np.asarray(mean, np.float32).reshape(1, 1, 3)
    if beta16:
        average = np.broadcast_to(average, (224, 224, 3))
    place = {"normalization": {"averageImage": average}}
    place = place if beta16 else {"meta": place}
    scipy.io.savemat(path, {"layers": cell(layers), **place})
