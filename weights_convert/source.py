"""What every reader of a foreign weight file hands on, and the checks they share."""

import itertools
from collections.abc import Callable, Container
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from nstjax.errors import InputError
from nstjax.io.hdf5_objects import check_own_data
from nstjax.network.architecture import (
    ARCHITECTURES,
    CHANNELS_PER_BLOCK,
    Architecture,
    kernel_shapes,
)

FloatArray = NDArray[np.float32]
LayerArrays = dict[str, tuple[FloatArray, FloatArray]]

WHAT_TO_DO = (
    "give VGG-19's or VGG-16's .h5 file from Keras or .mat file from MatConvNet, "
    "or run: python -m weights_convert --download"
)


class Source(NamedTuple):
    """A foreign file's convolutions, in the order of axes that the file has.

    Of each layer, ``conv1_1`` and so on, kernel [3, 3, in, out] and bias [out]. Which
    spatial axis comes first, and whether ``conv1_1`` takes RGB or BGR, is still open.
    """

    layout: str  # for people
    architecture: Architecture
    arrays: LayerArrays


def read_source(
    layout: str, layers: Container[str], find: Callable[[str], tuple[Any, Any] | None]
) -> Source:
    """Read the convolutions of whichever network has a file's layers.

    ``find`` gives a layer's kernel and bias, or None. Of what it gives, shapes and
    types are checked before it becomes an array.
    """
    architecture = _find_architecture(layers)
    arrays: LayerArrays = {}
    for layer, shape in kernel_shapes(architecture=architecture).items():
        found = find(layer)
        if found is None:
            raise InputError(f"{layer} has no kernel and bias: {WHAT_TO_DO}")
        for name, expected, part in zip(
            ("kernel", "bias"), (shape, shape[-1:]), found, strict=True
        ):
            if part.shape != expected:
                raise InputError(
                    f"{layer}'s {name} has the wrong shape: expected {list(expected)}, "
                    f"got {list(part.shape)}; {WHAT_TO_DO}"
                )
            if part.dtype.kind != "f":
                raise InputError(
                    f"{layer} holds {part.dtype} numbers, expected float32; "
                    f"{WHAT_TO_DO}"
                )
            if isinstance(part, h5py.Dataset):
                check_own_data(layer, part)
        kernel, bias = (np.ascontiguousarray(part[()], np.float32) for part in found)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise InputError(
                f"{layer} holds a number that is not finite, the file is damaged: "
                f"{WHAT_TO_DO}"
            )
        arrays[layer] = kernel, bias
    return Source(layout, architecture, arrays)


def _find_architecture(layers: Container[str]) -> Architecture:
    blocks = tuple(
        next(n for n in itertools.count() if f"conv{block}_{n + 1}" not in layers)
        for block in range(1, len(CHANNELS_PER_BLOCK) + 1)
    )
    for architecture in ARCHITECTURES:
        if architecture.blocks == blocks:
            return architecture
    raise InputError(
        f"the file's blocks have {', '.join(map(str, blocks))} convolutions, so it is "
        f"neither VGG-16 nor VGG-19: {WHAT_TO_DO}"
    )
