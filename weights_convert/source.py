"""What every reader of a foreign weight file hands on, and the checks they share."""

import itertools
from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nstjax.errors import InputError
from nstjax.network.architecture import (
    CHANNELS_PER_BLOCK,
    VGG16,
    VGG19,
    Architecture,
)

FloatArray = NDArray[np.float32]
LayerArrays = dict[str, tuple[FloatArray, FloatArray]]

NETWORKS = (VGG16, VGG19)
WHAT_TO_DO = (
    "give VGG-19's or VGG-16's .h5 file from Keras or .mat file from MatConvNet, "
    "or run: python -m weights_convert --download"
)


class Source(NamedTuple):
    """A foreign file's convolutions, in the order of axes that the file has.

    Attributes:
      layout: the name of the file's layout, for people.
      architecture: whose convolutions they are.
      arrays: kernel ``[3, 3, in, out]`` and bias ``[out]`` by layer name
        (``conv1_1`` …), float32. Which spatial axis comes first, and whether
        ``conv1_1`` takes RGB or BGR, is still open.
    """

    layout: str
    architecture: Architecture
    arrays: LayerArrays


def find_architecture(layers: Container[str]) -> Architecture:
    """The network whose convolutions, ``conv1_1`` and so on, a file has."""
    blocks = tuple(
        next(n for n in itertools.count() if f"conv{block}_{n + 1}" not in layers)
        for block in range(1, len(CHANNELS_PER_BLOCK) + 1)
    )
    for architecture in NETWORKS:
        if architecture.blocks == blocks:
            return architecture
    raise InputError(
        f"the file's blocks have {', '.join(map(str, blocks))} convolutions, so it is "
        f"neither VGG-16 nor VGG-19: {WHAT_TO_DO}"
    )


def check_declared(layer: str, shape: tuple[int, ...], kernel: Any, bias: Any) -> None:
    """Refuse a layer whose shapes or number types are not the network's.

    It takes what has both, so that a reader can ask before it allocates an array.
    """
    for part, expected, found in (
        ("kernel", shape, kernel),
        ("bias", shape[-1:], bias),
    ):
        if found.shape != expected:
            raise InputError(
                f"{layer}'s {part} has the wrong shape: expected {list(expected)}, got "
                f"{list(found.shape)}; {WHAT_TO_DO}"
            )
        if found.dtype.kind != "f":
            raise InputError(
                f"{layer} holds {found.dtype} numbers, expected float32; {WHAT_TO_DO}"
            )
