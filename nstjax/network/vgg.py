"""VGG's convolutional trunk as pure functions over a params pytree.

Layer names are the field's: ``convB_I`` is a convolution's output, ``reluB_I`` the same
after the ReLU, ``poolB`` the output of the pooling that ends block B.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.network.architecture import (
    LAYERS,
    PoolPadding,
    architecture_of,
    check_layers,
    check_size,
    pooled_size,
)
from nstjax.network.convolution import Precision, conv3x3, direct_convolution

Params = dict[str, dict[str, Array]]
Pool = Literal["avg", "max"]
ImagePadding = Literal["zero", "replicate"]


# The ImageNet training mean that Simonyan and Zisserman subtracted, in RGB, 0..255.
MEAN_RGB = np.array([123.68, 116.779, 103.939], np.float32)


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
    if jnp.ndim(image) != 3 or jnp.shape(image)[-1] != 3:
        raise InputError(
            f"image must have shape [height, width, 3], got {list(jnp.shape(image))}"
        )
    architecture = architecture_of(params)
    check_layers(layers, architecture)
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


def _convolve_image(
    image: Array, kernel: Array, image_padding: ImagePadding, row_devices: int
) -> Array:
    """The same with the kernel's rows as channels.

    With 3 channels XLA:CPU's convolution, and its gradient most of all, runs at a small
    fraction of its speed. Of an image that is split over devices, each of the rows
    would be exchanged by itself.
    """
    if image_padding == "zero" and row_devices > 1:
        return direct_convolution(image, kernel)
    height = len(image)
    mode = "constant" if image_padding == "zero" else "edge"
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode)
    rows = jnp.concatenate([padded[row : row + height] for row in range(3)], -1)
    return jax.lax.conv_general_dilated(
        rows[None],
        kernel.transpose(1, 0, 2, 3).reshape(1, 3, 9, -1),
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )[0]


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
