"""VGG's convolutional trunk as pure functions over a params pytree.

Layer names are the field's: ``convB_I`` is a convolution's output, ``reluB_I`` the same
after the ReLU, ``poolB`` the output of the pooling that ends block B.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.network.convolution import Precision, conv3x3, direct_convolution

Params = dict[str, dict[str, Array]]
Pool = Literal["avg", "max"]
PoolPadding = Literal["valid", "same"]
ImagePadding = Literal["zero", "replicate"]


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
LAYERS, CONV_LAYERS = VGG19.layers, VGG19.convolutions
CHANNELS_PER_BLOCK = VGG19.channels

# The ImageNet training mean that Simonyan and Zisserman subtracted, in RGB, 0..255.
MEAN_RGB = np.array([123.68, 116.779, 103.939], np.float32)


def architecture_of(params: Mapping[str, object]) -> Architecture:
    """VGG-16 where the params have conv3_3 and no conv3_4, else VGG-19."""
    return VGG16 if "conv3_3" in params and "conv3_4" not in params else VGG19


def kernel_shapes(
    widths: Mapping[str, int] | None = None, architecture: Architecture = VGG19
) -> dict[str, tuple[int, int, int, int]]:
    """Kernel shapes by layer, ``[3, 3, in, out]`` (Flax, HWIO).

    Args:
      widths: {convB_I: channels} of a narrower trunk; VGG's where not given.
      architecture: whose convolutions they are.
    """
    shapes: dict[str, tuple[int, int, int, int]] = {}
    channels_in = 3
    for name in architecture.convolutions:
        channels_out = (widths or {}).get(name, layer_channels(name))
        shapes[name] = (3, 3, channels_in, channels_out)
        channels_in = channels_out
    return shapes


def kernels_of(params: Params) -> dict[str, tuple[int, int, int, int]]:
    """``kernel_shapes`` of a network; VGG's where the params end early."""
    widths = {layer: int(params[layer]["bias"].size) for layer in params}
    return kernel_shapes(widths, architecture_of(params))


def layer_channels(layer: str) -> int:
    """Channels of VGG's layer: 64 for conv1_1, relu1_1, …, pool1."""
    return CHANNELS_PER_BLOCK[int(layer[4]) - 1]


@functools.partial(jax.jit, inline=True)
def preprocess(image: ArrayLike) -> Array:
    """Turn an sRGB picture into the network's units.

    x = 255 * image - mean, with the ImageNet mean (123.68, 116.779, 103.939) in RGB.

    Args:
      image: sRGB in 0..1, shape [height, width, 3].

    Returns:
      The same picture in 0..255 minus the mean, RGB, shape [height, width, 3]. The
      published programs optimize the image in these units.
    """
    return 255.0 * jnp.asarray(image) - MEAN_RGB[None, None, :]


@functools.partial(jax.jit, inline=True)
def deprocess(image: ArrayLike) -> Array:
    """Turn an image in the network's units back into sRGB, cut to 0..1.

    Args:
      image: 0..255 minus the mean, RGB, shape [height, width, 3].

    Returns:
      sRGB in 0..1, shape [height, width, 3].
    """
    return jnp.clip((jnp.asarray(image) + MEAN_RGB[None, None, :]) / 255.0, 0.0, 1.0)


def check_layers(layers: Sequence[str]) -> None:
    """Raise ``InputError`` unless every name is one of the trunk's layers, once."""
    for name in layers:
        if name not in LAYERS:
            raise InputError(
                f"unknown layer {name!r}: layers are convB_I, reluB_I and poolB, "
                "such as conv4_2, relu4_2, pool4"
            )
    if not layers or len(set(layers)) != len(layers):
        raise InputError(f"layers must be one or more different names, got {layers!r}")


def pooled_size(size: int, pool_padding: PoolPadding) -> int:
    """Length of an axis after 2×2 pooling: floor (``valid``) or ceiling (``same``)."""
    return size // 2 if pool_padding == "valid" else -(-size // 2)


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """How activations are computed, see ``features``: structure, not numbers.

    Attributes:
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate".
      precision: "float32" or "mixed".
    """

    pool: Pool = "avg"
    pool_padding: PoolPadding = "valid"
    image_padding: ImagePadding = "zero"
    precision: Precision = "float32"


def features(
    params: Params,
    image: ArrayLike,
    layers: Sequence[str],
    *,
    pool: Pool = "avg",
    pool_padding: PoolPadding = "valid",
    image_padding: ImagePadding = "zero",
    precision: Precision = "float32",
) -> dict[str, Array]:
    """Activations of the named layers; nothing past the deepest is computed.

    conv: x_l = W_l * x_(l-1) + b_l, 3×3, stride 1, zero padding 1.
    relu: max(x, 0). pool: 2×2, stride 2, mean or maximum of each window.

    Args:
      params: ``params["conv4_2"]["kernel"]`` [3, 3, in, out] for RGB input and
        ``["bias"]`` [out], for every convolution up to the deepest layer asked for.
      image: preprocessed image (see ``preprocess``), shape [height, width, 3].
      layers: names such as "conv4_2", "relu4_2" or "pool4".
      pool: "avg" (Gatys' paper) or "max" (the network as trained).
      pool_padding: "valid" drops a last odd row or column (Torch, MATLAB); "same"
        keeps it, in a window that holds real pixels only (TensorFlow; Caffe).
      image_padding: what conv1_1 sees past the image's border: "zero" (the network as
        trained) or "replicate", the border's own pixels (Crowson). Deeper
        convolutions are padded with zeros.
      precision: of the convolutions after conv1_1, see
        ``nstjax.network.convolution.conv3x3``.

    Returns:
      {name: activation [height', width', channels]}.

    Raises:
      InputError: unknown layer, or an image too small for the deepest one.

    Source:
      Simonyan and Zisserman (2015), configurations D and E.
    """
    options = NetworkOptions(pool, pool_padding, image_padding, precision)
    return activations_of(params, image, layers, options)


def activations_of(
    params: Params,
    image: ArrayLike,
    layers: Sequence[str],
    options: NetworkOptions,
    row_devices: int = 1,
) -> dict[str, Array]:
    """``features`` of an image whose rows are split over so many devices."""
    check_layers(layers)
    if jnp.ndim(image) != 3 or jnp.shape(image)[-1] != 3:
        raise InputError(
            f"image must have shape [height, width, 3], got {list(jnp.shape(image))}"
        )
    architecture = architecture_of(params)
    for name in layers:
        if name not in architecture.layers:
            raise InputError(f"{architecture.name} has no layer {name}: choose another")
    deepest = max(layers, key=LAYERS.index)
    height, width, _ = jnp.shape(image)
    check_size(height, width, deepest, options.pool_padding)
    activation = jnp.asarray(image)
    activations: dict[str, Array] = {}
    for name in architecture.layers:
        if name.startswith("conv"):
            kernel, bias = map(
                jnp.asarray, (params[name]["kernel"], params[name]["bias"])
            )
            if name == "conv1_1":
                activation = _convolve_image(
                    activation, kernel, options.image_padding, row_devices
                )
            else:
                activation = conv3x3(activation, kernel, options.precision, row_devices)
            activation += bias[None, None, :]
        elif name.startswith("relu"):
            activation = jax.nn.relu(activation)
        else:
            activation = _pool(activation, options, row_devices)
        if name in layers:
            activations[name] = activation
        if name == deepest:
            break
    return activations


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


def _convolve_image(
    image: Array, kernel: Array, image_padding: ImagePadding, row_devices: int
) -> Array:
    """The same as a matrix product.

    With 3 channels XLA:CPU's convolution, and its gradient most of all, runs at a small
    fraction of its speed. Of an image that is split over devices, each of the windows
    would be exchanged by itself.
    """
    if image_padding == "zero" and row_devices > 1:
        return direct_convolution(image, kernel)
    height, width, _ = image.shape
    mode = "constant" if image_padding == "zero" else "edge"
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode)
    windows = [
        padded[row : row + height, column : column + width]
        for row in range(3)
        for column in range(3)
    ]
    return jnp.matmul(
        jnp.concatenate(windows, -1), kernel.reshape(27, -1), precision="highest"
    )


def _pool(activation: Array, options: NetworkOptions, row_devices: int) -> Array:
    pool, pool_padding = options.pool, options.pool_padding
    height, width, channels = activation.shape
    pooled_height = pooled_size(height, pool_padding)
    pooled_width = pooled_size(width, pool_padding)
    if pool_padding == "same":
        # Repeating the last row and column leaves the mean and the maximum of an
        # edge window those of its real pixels.
        activation = jnp.pad(
            activation, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"
        )
    else:
        activation = activation[: 2 * pooled_height, : 2 * pooled_width]
    if row_devices > 1 and activation.shape[0] % (2 * row_devices):
        # Windows cross from one device to the next: XLA fetches the rows that lack, and
        # for the reshape below it would fetch all of the activation.
        window = ((2, 2, 1), (2, 2, 1), "VALID")
        if pool == "avg":
            return jax.lax.reduce_window(activation, 0.0, jax.lax.add, *window) / 4.0
        return jax.lax.reduce_window(activation, -jnp.inf, jax.lax.max, *window)
    windows = activation.reshape(pooled_height, 2, pooled_width, 2, channels)
    return windows.mean((1, 3)) if pool == "avg" else windows.max((1, 3))


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
    kernels: dict[str, tuple[int, int, int, int]] | None = None,
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
