"""Convolutions of the feed-forward networks: padded as published, fast on a CPU."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nstjax.feedforward.networks.architecture import Initialization

FEW_CHANNELS = 4
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Convolution(nnx.Module):
    """y = W * x + b, stride 1 or 2, with whatever padding the caller has given.

    Attributes:
      kernel: [size, size, in, out] (HWIO).
      bias: [out], or None.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: int,
        *,
        stride: int = 1,
        bias: bool = True,
        initialization: Initialization = "fan-in",
        rngs: nnx.Rngs,
    ):
        bound = (size * size * channels_in) ** -0.5
        shape = (size, size, channels_in, channels_out)
        self.stride = stride
        self.kernel = nnx.Param(_draw(rngs.params(), shape, initialization, bound))
        offsets = _draw(rngs.params(), (channels_out,), "fan-in", bound)
        if initialization != "fan-in":
            offsets = jnp.zeros_like(offsets)
        self.bias = nnx.Param(offsets) if bias else None

    def __call__(self, image: Array, padding: int = 0) -> Array:
        """Convolve [batch, height, width, in], with zeros past its border.

        Args:
          image: what is convolved.
          padding: rows and columns of zeros on each side.
        """
        return self.biased(convolve(image, self.kernel[...], self.stride, padding))

    def biased(self, activation: Array) -> Array:
        """Add the bias, where there is one, to [batch, height, width, out]."""
        if self.bias is None:
            return activation
        return activation + self.bias[...][None, None, None, :]


def convolve(image: Array, kernel: Array, stride: int, padding: int = 0) -> Array:
    """Cross-correlation, as every deep-learning library calls a convolution.

    y[i, j, o] = Σ_klc x[i·stride + k, j·stride + l, c] w[k, l, c, o]

    Args:
      image: [batch, height, width, in].
      kernel: [size, size, in, out], of an odd size.
      stride: 1 or 2.
      padding: rows and columns of zeros on each side.

    Returns:
      [batch, (height + 2·padding - size)/stride + 1, …, out].
    """
    if stride > 1:
        return _correlate(image, kernel, stride, [(padding, padding)] * 2)
    reach = kernel.shape[0] // 2
    height, width = (side + 2 * (padding - reach) for side in image.shape[1:3])
    few_channels = min(kernel.shape[2:]) <= FEW_CHANNELS and kernel.shape[0] > 3
    if few_channels and height % 2 == 0 and width % 2 == 0:
        image = jnp.pad(image, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
        return _in_blocks(image, kernel)
    if padding >= reach:
        return _correlate(image, kernel, 1, [(padding, padding)] * 2)
    # XLA:CPU is four times faster with SAME padding, even though a border is cut off.
    border = reach - padding
    result = _correlate(image, kernel, 1, "SAME")
    return cut(result, border, height, width)


def transposed(image: Array, kernel: Array, crop_first: bool) -> Array:
    """Transposed convolution of stride 2, as a correlation with zeros in between.

    Args:
      image: [batch, height, width, in].
      kernel: [3, 3, in, out], of the correlation (Torch's, flipped).
      crop_first: whether the first row and column of the 2·height + 1 are left out
        (Torch, padding 1 and output padding 1), not the last (TensorFlow, SAME).

    Returns:
      [batch, 2·height, 2·width, out].
    """
    border = (1, 2) if crop_first else (2, 1)
    return jax.lax.conv_general_dilated(
        image, kernel, (1, 1), [border] * 2, (2, 2), dimension_numbers=DIMENSIONS
    )


def reflect(image: Array, border: int) -> Array:
    """Pad both sides of [batch, height, width, channels] by reflection."""
    sides = (border, border)
    return jnp.pad(image, [(0, 0), sides, sides, (0, 0)], mode="reflect")


def enlarge(image: Array) -> Array:
    """Nearest neighbor to twice the height and width."""
    return image.repeat(2, axis=1).repeat(2, axis=2)


def enlarge_bilinear(image: Array) -> Array:
    """Bilinear interpolation to twice the height and width.

    y[2i] = (x[i - 1] + 3·x[i])/4 and y[2i + 1] = (3·x[i] + x[i + 1])/4 along each axis,
    with the first and the last value repeated past the border.

    Args:
      image: [batch, height, width, channels].
    """
    for axis in (1, 2):
        side = image.shape[axis]
        part = partial(jax.lax.slice_in_dim, image, axis=axis)
        # Padding with edge values says the same, but its gradient is slow;
        # jnp.concatenate does not let jax2onnx add up sides that are not known yet.
        before = jax.lax.concatenate([part(0, 1), part(0, side - 1)], axis)
        after = jax.lax.concatenate([part(1, side), part(side - 1, side)], axis)
        pairs = [0.25 * before + 0.75 * image, 0.75 * image + 0.25 * after]
        shape = [*image.shape[:axis], 2 * side, *image.shape[axis + 1 :]]
        image = jnp.stack(pairs, axis + 1).reshape(shape)
    return image


def cut(image: Array, first: int, height: int, width: int) -> Array:
    """Rows and columns of [batch, height, width, channels] from the ``first`` on."""
    # An index becomes a gather where sizes are not known yet, as in an export.
    batch, _, _, channels = image.shape
    end = (batch, first + height, first + width, channels)
    return jax.lax.slice(image, (0, first, first, 0), end)


def _correlate(image: Array, kernel: Array, stride: int, padding: Any) -> Array:
    return jax.lax.conv_general_dilated(
        image, kernel, (stride, stride), padding, dimension_numbers=DIMENSIONS
    )


def _in_blocks(image: Array, kernel: Array) -> Array:
    """The same without padding and over blocks of 2×2 pixels, four times the channels.

    A large kernel with three channels on either side runs at a fraction of XLA:CPU's
    speed; this one takes half of its time, gradients included.
    """
    size, _, channels_in, channels_out = kernel.shape
    blocks = size // 2 + 1
    kernels = jnp.stack(
        [
            jnp.pad(kernel, [(row, 1 - row), (column, 1 - column), (0, 0), (0, 0)])
            for row in range(2)
            for column in range(2)
        ],
        axis=-2,
    )
    kernels = kernels.reshape(blocks, 2, blocks, 2, channels_in, 4, channels_out)
    kernels = kernels.transpose(0, 2, 1, 3, 4, 5, 6)
    kernels = kernels.reshape(blocks, blocks, 4 * channels_in, 4 * channels_out)
    batch, height, width, _ = image.shape
    image = image.reshape(batch, height // 2, 2, width // 2, 2, channels_in)
    image = image.transpose(0, 1, 3, 2, 4, 5)
    image = image.reshape(batch, height // 2, width // 2, 4 * channels_in)
    border = (blocks - 1) // 2
    rows, columns = height // 2 - blocks + 1, width // 2 - blocks + 1
    result = _correlate(image, kernels, 1, "SAME")
    result = cut(result, border, rows, columns)
    result = result.reshape(batch, rows, columns, 2, 2, channels_out)
    result = result.transpose(0, 1, 3, 2, 4, 5)
    return result.reshape(batch, 2 * rows, 2 * columns, channels_out)


def _draw(
    key: Array, shape: tuple[int, ...], initialization: Initialization, bound: float
) -> Array:
    if initialization == "he":
        return 2.0**0.5 * bound * jax.random.normal(key, shape)
    if initialization == "normal":
        return 0.01 * jax.random.normal(key, shape)
    if initialization == "truncated-normal":
        return 0.1 * jax.random.truncated_normal(key, -2.0, 2.0, shape)
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
