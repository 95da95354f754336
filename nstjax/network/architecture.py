"""VGG's convolutional trunk as data: its layers, their shapes and what they see.

Layer names are the field's: ``convB_I`` is a convolution's output, ``reluB_I`` the same
after the ReLU, ``poolB`` the output of the pooling that ends block B.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from nstjax.errors import InputError

PoolPadding = Literal["valid", "same"]
KernelShapes = dict[str, tuple[int, int, int, int]]


class Architecture(NamedTuple):
    """A VGG's convolutional trunk, as data.

    Attributes:
      name: of the network.
      blocks: convolutions of each block; a pooling ends it.
      channels: of each block's convolutions.
    """

    name: str
    blocks: tuple[int, ...]
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers from the image on: conv1_1, relu1_1, …, pool5."""
        return tuple(
            name
            for block, count in enumerate(self.blocks, start=1)
            for name in (
                *(
                    f"{kind}{block}_{index}"
                    for index in range(1, count + 1)
                    for kind in ("conv", "relu")
                ),
                f"pool{block}",
            )
        )

    @property
    def convolutions(self) -> tuple[str, ...]:
        """The layers that have a kernel."""
        return tuple(layer for layer in self.layers if layer.startswith("conv"))


# Simonyan and Zisserman (2015), configurations E and D. VGG-16 has no layer that VGG-19
# lacks, so that VGG-19's order is that of both.
VGG19 = Architecture("VGG-19", (2, 2, 4, 4, 4))
VGG16 = Architecture("VGG-16", (2, 2, 3, 3, 3))
ARCHITECTURES = (VGG19, VGG16)
LAYERS, CONV_LAYERS = VGG19.layers, VGG19.convolutions
CHANNELS_PER_BLOCK = VGG19.channels


def architecture_of(params: Collection[str]) -> Architecture:
    """The network whose first convolutions the params are, else VGG-19."""
    given = {name for name in params if name in CONV_LAYERS}
    for architecture in ARCHITECTURES:
        if given == set(architecture.convolutions[: len(given)]):
            return architecture
    return VGG19


def kernel_shapes(
    widths: Mapping[str, int] | None = None, architecture: Architecture = VGG19
) -> KernelShapes:
    """Kernel shapes by layer, ``[3, 3, in, out]`` (Flax, HWIO).

    Args:
      widths: {convB_I: channels} of a narrower trunk; VGG's where not given.
      architecture: whose convolutions they are.
    """
    shapes: KernelShapes = {}
    channels_in = 3
    for name in architecture.convolutions:
        channels_out = (widths or {}).get(name, layer_channels(name))
        shapes[name] = (3, 3, channels_in, channels_out)
        channels_in = channels_out
    return shapes


def kernels_of(params: Mapping[str, Mapping[str, Any]]) -> KernelShapes:
    """``kernel_shapes`` of a network; VGG's where the params end early."""
    widths = {layer: int(params[layer]["bias"].size) for layer in params}
    return kernel_shapes(widths, architecture_of(params))


def layer_channels(layer: str) -> int:
    """Channels of VGG's layer: 64 for conv1_1, relu1_1, …, pool1."""
    return CHANNELS_PER_BLOCK[int(layer[4]) - 1]


def check_layers(layers: Sequence[str], architecture: Architecture = VGG19) -> None:
    """Raise ``InputError`` unless every name is one of the trunk's layers, once."""
    for name in layers:
        if name not in LAYERS:
            raise InputError(
                f"unknown layer {name!r}: layers are convB_I, reluB_I and poolB, "
                "such as conv4_2, relu4_2, pool4"
            )
        if name not in architecture.layers:
            raise InputError(f"{architecture.name} has no layer {name}: choose another")
    if not layers or len(set(layers)) != len(layers):
        raise InputError(f"layers must be one or more different names, got {layers!r}")


def pooled_size(size: int, pool_padding: PoolPadding) -> int:
    """Length of an axis after 2×2 pooling: floor (``valid``) or ceiling (``same``)."""
    return size // 2 if pool_padding == "valid" else -(-size // 2)


def least_side(layer: str, pool_padding: PoolPadding = "valid") -> int:
    """Pixels that an image needs on each side for something of ``layer`` to be left."""
    if pool_padding == "same":
        return 1
    trunk = LAYERS[: LAYERS.index(layer) + 1]
    return 2 ** sum(name.startswith("pool") for name in trunk)


def check_size(
    height: int, width: int, layer: str, pool_padding: PoolPadding = "valid"
) -> None:
    """Raise ``InputError`` if an image leaves nothing of ``layer``."""
    needed = least_side(layer, pool_padding)
    if min(height, width) < needed:
        raise InputError(
            f"image of {width}x{height} pixels is too small for {layer}: it needs at "
            f"least {needed} pixels on each side; choose a larger size"
        )


class LayerSummary(NamedTuple):
    """One row of the network's table."""

    name: str
    shape: tuple[int, int, int]  # height, width, channels of the output
    parameters: int
    receptive_field: int  # pixels of the image, on a side, that one position sees


def summarize(
    height: int,
    width: int,
    *,
    pool_padding: PoolPadding = "valid",
    kernels: KernelShapes | None = None,
) -> list[LayerSummary]:
    """The network's table for an input of ``height`` × ``width`` pixels.

    A convolution widens the receptive field r by 2j and a pooling by j, where the
    distance j between neighbouring positions doubles with each pooling.

    Args:
      height: rows of the image.
      width: columns of the image.
      pool_padding: as in ``features``.
      kernels: kernel shapes by layer; VGG-19's where not given.

    Returns:
      A row for each of the architecture's layers.
    """
    kernels = kernels or kernel_shapes()
    rows = []
    channels, receptive_field, distance = 3, 1, 1
    architecture = architecture_of(kernels)
    for name in architecture.layers:
        parameters = 0
        if name.startswith("conv"):
            channels = kernels[name][-1]
            parameters = math.prod(kernels[name]) + channels
            receptive_field += 2 * distance
        elif name.startswith("pool"):
            height = pooled_size(height, pool_padding)
            width = pooled_size(width, pool_padding)
            receptive_field += distance
            distance *= 2
        rows.append(
            LayerSummary(name, (height, width, channels), parameters, receptive_field)
        )
    return rows


def convolution_sizes(
    height: int,
    width: int,
    layer: str,
    params: Mapping[str, Mapping[str, Any]],
    pool_padding: PoolPadding = "valid",
) -> list[int]:
    """Numbers in the result of each convolution that ``layer`` needs."""
    rows = summarize(
        height, width, pool_padding=pool_padding, kernels=kernels_of(params)
    )
    names = [row.name for row in rows]
    needed = rows[: names.index(layer) + 1]
    return [math.prod(row.shape) for row in needed if row.parameters]
