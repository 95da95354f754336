"""Which way round a file's kernels are, and whether they are VGG-19's at all.

Files disagree about the order of the color channels and of the two spatial axes, and
published loaders of one and the same file contradict each other. So neither is taken
from the layout: both are decided by the numbers of the original network.
"""

from typing import Literal, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.network.vgg import CONV_LAYERS
from weights_convert.source import (
    WHAT_TO_DO,
    LayerArrays,
    check_declared,
    missing_layer,
)

# Figures of Simonyan and Zisserman's VGG-19 as Keras distributes it: the sum over the
# input and output channels at each (row, column) of the kernel.
KERNEL_SUMS = {
    "conv1_1": np.array(
        [
            [-0.4487, -0.7782, -1.3984],
            [0.1175, 1.2902, -0.0063],
            [-1.4485, -0.1620, -0.7069],
        ]
    ),
    "conv3_4": np.array(
        [
            [-13.3848, 21.8629, -15.9129],
            [18.3851, 64.2693, 18.2499],
            [-12.0021, 25.1315, -9.4962],
        ]
    ),
}
# conv1_1's mean absolute weight by input channel, and its first biases.
CHANNEL_MEANS_RGB = np.array([0.157754, 0.172653, 0.139097])
FIRST_BIASES = np.array([0.730178, 0.064936, 0.034288, 0.826039])

# The figures are rounded to 4 and 6 decimals; the rest allows for summing in any order.
SUM_TOLERANCE = 1e-3
VALUE_TOLERANCE = 1e-5


class Orientation(NamedTuple):
    """The order of a file's axes, as its weights tell it.

    Attributes:
      channels: the order of conv1_1's input channels.
      spatial: the order of every kernel's first two axes.
    """

    channels: Literal["RGB", "BGR"]
    spatial: Literal["row, column", "column, row"]


def find_orientation(arrays: LayerArrays) -> Orientation:
    """Verify that the arrays are VGG-19's and find the order of their axes.

    The spatial order follows from ``S[y, x] = sum over c, d of kernel[y, x, c, d]`` of
    conv1_1 and conv3_4, the order of the channels from the mean of ``|kernel|`` over
    all axes but conv1_1's input channels ``c``.

    Args:
      arrays: kernel ``[3, 3, in, out]`` and bias ``[out]`` by layer name.

    Returns:
      The order of the axes.

    Raises:
      InputError: a layer is missing, has another shape or a number that is not
        finite, or the figures are not VGG-19's.
    """
    for layer in CONV_LAYERS:
        if layer not in arrays:
            raise missing_layer(layer)
        kernel, bias = arrays[layer]
        check_declared(layer, kernel.shape, bias.shape, kernel.dtype, bias.dtype)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise InputError(
                f"{layer} holds a number that is not finite, the file is damaged: "
                f"{WHAT_TO_DO}"
            )
    if not np.allclose(
        arrays["conv1_1"][1][:4], FIRST_BIASES, rtol=0, atol=VALUE_TOLERANCE
    ):
        raise _other_network("conv1_1's biases")
    return Orientation(_channel_order(arrays), _spatial_order(arrays))


def _channel_order(arrays: LayerArrays) -> Literal["RGB", "BGR"]:
    means = np.abs(arrays["conv1_1"][0]).mean(axis=(0, 1, 3), dtype=np.float64)
    if np.allclose(means, CHANNEL_MEANS_RGB, rtol=0, atol=VALUE_TOLERANCE):
        return "RGB"
    if np.allclose(means, CHANNEL_MEANS_RGB[::-1], rtol=0, atol=VALUE_TOLERANCE):
        return "BGR"
    raise _other_network("conv1_1's mean absolute weight by channel")


def _spatial_order(arrays: LayerArrays) -> Literal["row, column", "column, row"]:
    sums = {
        layer: arrays[layer][0].sum(axis=(2, 3), dtype=np.float64)
        for layer in KERNEL_SUMS
    }

    def all_close(expected: dict[str, np.ndarray]) -> bool:
        return all(
            np.allclose(sums[layer], expected[layer], rtol=0, atol=SUM_TOLERANCE)
            for layer in sums
        )

    if all_close(KERNEL_SUMS):
        return "row, column"
    if all_close({layer: table.T for layer, table in KERNEL_SUMS.items()}):
        return "column, row"
    raise _other_network("the kernels' sums in conv1_1 and conv3_4")


def _other_network(figure: str) -> InputError:
    return InputError(
        f"these are not the weights of ImageNet's VGG-19: {figure} differ from the "
        f"published network's; {WHAT_TO_DO}"
    )
