"""Arrays that pass for VGG-19's, and files of them as other programs write them."""

import pathlib
from typing import Any

import h5py
import numpy as np
import scipy.io

from nstjax.network.vgg import MEAN_RGB, kernel_shapes
from weights_convert.fingerprint import CHANNEL_MEANS_RGB, FIRST_BIASES, KERNEL_SUMS
from weights_convert.source import LayerArrays


def fingerprinted_arrays() -> LayerArrays:
    """Random RGB (row, column) arrays with VGG-19's shapes and published figures."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer, shape in kernel_shapes().items():
        kernel = 0.01 * rng.standard_normal(shape, np.float32)
        bias = rng.standard_normal(shape[-1], np.float32)
        arrays[layer] = (kernel, bias)

    # Half of each channel's weights positive, half negative: their levels then set the
    # mean absolute value and the sum independently.
    sums = KERNEL_SUMS["conv1_1"][:, :, None, None] / (3 * 64)
    means = CHANNEL_MEANS_RGB[None, None, :, None]
    spread = rng.uniform(0.5, 1.5, (3, 3, 3, 32))
    spread /= spread.mean(axis=-1, keepdims=True)
    halves = [(means + sums) * spread, (sums - means) * spread]
    kernel = np.concatenate(halves, axis=-1)[..., rng.permutation(64)]
    bias = arrays["conv1_1"][1]
    bias[:4] = FIRST_BIASES
    arrays["conv1_1"] = (kernel.astype(np.float32), bias)

    kernel, bias = arrays["conv3_4"]
    kernel = kernel - kernel.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    kernel += KERNEL_SUMS["conv3_4"][:, :, None, None] / (256 * 256)
    arrays["conv3_4"] = (kernel.astype(np.float32), bias)
    return arrays


def as_bgr(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel[:, :, ::-1, :], bias)}


def transposed(arrays: LayerArrays) -> LayerArrays:
    return {
        layer: (kernel.transpose(1, 0, 2, 3), bias)
        for layer, (kernel, bias) in arrays.items()
    }


def write_keras(
    path: pathlib.Path,
    arrays: LayerArrays,
    names: tuple[str, str],
    root: str = "/",
    top: bool = False,
) -> None:
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


def write_matconvnet(
    path: pathlib.Path, arrays: LayerArrays, beta16: bool, mean: Any = MEAN_RGB
) -> None:
    def struct(**values: Any) -> np.ndarray:
        record = np.empty((1, 1), [(name, object) for name in values])
        for name, value in values.items():
            record[name][0, 0] = value
        return record

    layers = []
    top = np.ones((1, 1, 4, 4), np.float32)
    for layer, (kernel, bias) in {**arrays, "fc6": (top, top[0, 0, 0])}.items():
        weights = np.empty((1, 2), object)
        weights[0, 0] = np.asfortranarray(kernel)
        weights[0, 1] = bias.reshape(-1, 1) if beta16 else bias.reshape(1, -1)
        if beta16:
            layers.append(struct(weights=weights, type="conv", name=layer))
        else:
            layers.append(struct(name=layer, type="conv", weights=weights))
        layers.append(struct(type="relu", name=layer.replace("conv", "relu")))
    cell = np.empty((1, len(layers)), object)
    cell[0] = layers
    average = np.asarray(mean, np.float32).reshape(1, 1, 3)
    if beta16:
        average = np.broadcast_to(average, (224, 224, 3))
        contents = {"layers": cell, "normalization": struct(averageImage=average)}
    else:
        normalization = struct(averageImage=average)
        contents = {"layers": cell, "meta": struct(normalization=normalization)}
    scipy.io.savemat(path, contents)


KERAS_2016 = ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0")
KERAS_2 = ("{0}/{0}/kernel:0", "{0}/{0}/bias:0")
