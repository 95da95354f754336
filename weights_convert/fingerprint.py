"""Which way round a file's kernels are, and whether they are VGG's at all.

Files disagree about the order of the color channels and of the two spatial axes, and
published loaders of one and the same file contradict each other. So neither is taken
from the layout: both are decided by the numbers of the original network.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nstjax.errors import InputError
from weights_convert.source import WHAT_TO_DO, Source

TOLERANCE = 1e-5


class Figures(NamedTuple):
    """Numbers of a network of Simonyan and Zisserman as Keras distributes it."""

    biases: ArrayLike  # conv1_1's first four
    corner: ArrayLike  # its first filter at (0, 0) for red, green and blue
    blue: ArrayLike  # its first filter for blue, [row, column]
    deeper: ArrayLike  # conv3_3's first weight and first bias


FIGURES: dict[str, Figures] = {
    "VGG-16": Figures(
        biases=[0.734298, 0.093404, 0.067757, 0.886297],
        corner=[0.480015, 0.550379, 0.429471],
        blue=[
            [0.429471, 0.373467, -0.061360],
            [0.274770, 0.038681, -0.367223],
            [-0.057468, -0.262250, -0.350097],
        ],
        deeper=[0.002492, 0.035415],
    ),
    "VGG-19": Figures(
        biases=[0.730178, 0.064936, 0.034288, 0.826039],
        corner=[0.394167, 0.464184, 0.341195],
        blue=[
            [0.341195, 0.339992, -0.044844],
            [0.232159, 0.089782, -0.303314],
            [-0.072609, -0.246675, -0.336833],
        ],
        deeper=[-0.000198, 0.020551],
    ),
}


class Orientation(NamedTuple):
    """The order of conv1_1's input channels, and of every kernel's first two axes."""

    channels: str
    spatial: str


def find_orientation(source: Source) -> Orientation:
    """Verify that a source is a published network and find the order of its axes."""
    name = source.architecture.name
    expected = FIGURES[name]
    kernel, bias = source.arrays["conv3_3"]
    first, biases = source.arrays["conv1_1"]
    deeper = [kernel[0, 0, 0, 0], bias[0]]
    close = functools.partial(np.allclose, rtol=0, atol=TOLERANCE)
    for axes in itertools.product(("RGB", "BGR"), ("row, column", "column, row")):
        orientation = Orientation(*axes)
        filters = oriented("conv1_1", first, orientation)[..., 0]
        found = Figures(biases[:4], filters[0, 0], filters[:, :, 2], deeper)
        if all(map(close, found, expected)):
            return orientation
    raise InputError(
        f"these are not the weights of ImageNet's {name}: conv1_1 and conv3_3 differ "
        f"from the published network's; {WHAT_TO_DO}"
    )


def oriented(layer: str, kernel: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A kernel [3, 3, in, out] as (row, column, in, out), for RGB input."""
    if orientation.spatial == "column, row":
        kernel = kernel.transpose(1, 0, 2, 3)
    if layer == "conv1_1" and orientation.channels == "BGR":
        kernel = kernel[:, :, ::-1, :]
    return kernel
