"""What every reader of a foreign weight file hands on, and the checks they share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nstjax.errors import InputError
from nstjax.network.vgg import kernel_shapes

FloatArray = NDArray[np.float32]
LayerArrays = dict[str, tuple[FloatArray, FloatArray]]

WHAT_TO_DO = (
    "give VGG-19's .h5 file from Keras or .mat file from MatConvNet, "
    "or run: python -m weights_convert --download"
)


class Source(NamedTuple):
    """A foreign file's convolutions, in the order of axes that the file has.

    Attributes:
      layout: the name of the file's layout, for people.
      arrays: kernel ``[3, 3, in, out]`` and bias ``[out]`` by layer name
        (``conv1_1`` … ``conv5_4``), float32. Which spatial axis comes first, and
        whether ``conv1_1`` takes RGB or BGR, is still open.
    """

    layout: str
    arrays: LayerArrays


def missing_layer(layer: str) -> InputError:
    """The error for a file that lacks one of VGG-19's convolutions."""
    return InputError(
        f"the file has no layer {layer}, so it is not VGG-19: {WHAT_TO_DO}"
    )


def check_declared(
    layer: str, kernel_shape: Sequence[int], bias_shape: Sequence[int], *dtypes: Any
) -> None:
    """Refuse a layer whose shapes or number types are not VGG-19's.

    It takes shapes, not arrays, so that a reader can ask before it allocates.

    Args:
      layer: the layer's name, such as ``conv4_2``.
      kernel_shape: the kernel's shape in the file.
      bias_shape: the bias's shape in the file.
      *dtypes: the number types of the kernel and the bias in the file.

    Raises:
      InputError: the layer is not VGG-19's.
    """
    expected_kernel = kernel_shapes()[layer]
    for part, expected, got in (
        ("kernel", expected_kernel, tuple(kernel_shape)),
        ("bias", expected_kernel[-1:], tuple(bias_shape)),
    ):
        if got != expected:
            raise InputError(
                f"{layer}'s {part} has the wrong shape for VGG-19: "
                f"expected {list(expected)}, got {list(got)}; {WHAT_TO_DO}"
            )
    for dtype in dtypes:
        if np.dtype(dtype).kind != "f":
            raise InputError(
                f"{layer} holds {dtype} numbers, expected float32; {WHAT_TO_DO}"
            )
