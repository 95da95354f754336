"""Convolutions of the feed-forward networks: fast on a CPU, with published weights."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.nn import initializers

from nstjax.feedforward.networks.architecture import Initialization

FEW_CHANNELS = 4

Padding = str | int | Sequence[tuple[int, int]]


class Convolution(nnx.Conv):
    """With a call that jax2onnx, which knows no reflection, does not replace."""

    __call__ = nnx.Conv.__call__


class TransposedConvolution(nnx.ConvTranspose):
    """With a call that jax2onnx does not replace."""

    __call__ = nnx.ConvTranspose.__call__


def make_convolution(
    channels_in: int,
    channels_out: int,
    size: int,
    padding: Padding,
    *,
    stride: int = 1,
    transpose: bool = False,
    bias: bool = True,
    initialization: Initialization = "fan-in",
    rngs: nnx.Rngs,
) -> Convolution | TransposedConvolution:
    """A layer of Flax that is computed by ``convolve`` unless it is transposed."""
    bound = (size * size * channels_in) ** -0.5
    uniform = partial(jax.random.uniform, minval=-bound, maxval=bound)
    kernels: dict[Initialization, Any] = {
        "fan-in": uniform,
        "he": initializers.normal(2**0.5 * bound),
        "normal": initializers.normal(0.01),
        "truncated-normal": initializers.truncated_normal(0.1),
    }
    plain = partial(Convolution, conv_general_dilated=convolve)
    layer = (TransposedConvolution if transpose else plain)(
        channels_in,
        channels_out,
        (size, size),
        (stride, stride),
        padding=padding,
        use_bias=bias,
        kernel_init=kernels[initialization],
        bias_init=uniform if initialization == "fan-in" else initializers.zeros,
        rngs=rngs,
    )
    if not bias:
        # A seed gives the same kernels with a bias and without.
        rngs.params()
    return layer


def convolve(
    image: Array,
    kernel: Array,
    strides: Sequence[int] = (1, 1),
    padding: Any = "VALID",
    **others: Any,
) -> Array:
    """Cross-correlation, as every deep-learning library calls a convolution.

    y[i, j, o] = Σ_klc x[i·stride + k, j·stride + l, c] w[k, l, c, o]

    Images are [batch, height, width, in] and kernels [size, size, in, out], of an odd
    size. Padding is "VALID" or pairs of rows and columns of zeros, for a stride of 1 as
    many on every side; ``others`` are the defaults that ``flax.nnx.Conv`` passes.
    """
    if tuple(strides) != (1, 1):
        return _correlate(image, kernel, strides, padding)
    border = 0 if padding == "VALID" else padding[0][0]
    reach = kernel.shape[0] // 2
    height, width = (side + 2 * (border - reach) for side in image.shape[1:3])
    few_channels = min(kernel.shape[2:]) <= FEW_CHANNELS and kernel.shape[0] > 3
    if few_channels and height % 2 == 0 and width % 2 == 0:
        image = jnp.pad(image, [(0, 0), (border, border), (border, border), (0, 0)])
        return _in_blocks(image, kernel)
    if border >= reach:
        return _correlate(image, kernel, strides, padding)
    # XLA:CPU is four times faster with SAME padding, even though a border is cut off.
    result = _correlate(image, kernel, strides, "SAME")
    return crop(result, reach - border, height, width)


def enlarge_nearest(image: Array) -> Array:
    """Nearest neighbor to twice the height and width."""
    return image.repeat(2, axis=1).repeat(2, axis=2)


def enlarge_bilinear(image: Array) -> Array:
    """Bilinear interpolation of [batch, height, width, channels] to twice the sides.

    y[2i] = (x[i - 1] + 3·x[i])/4 and y[2i + 1] = (3·x[i] + x[i + 1])/4 along each axis,
    with the first and the last value repeated past the border.
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


ENLARGE = {"nearest": enlarge_nearest, "bilinear": enlarge_bilinear}


def crop(image: Array, first: int, height: int, width: int) -> Array:
    """Rows and columns of [batch, height, width, channels] from the ``first`` on."""
    # An index becomes a gather where sizes are not known yet, as in an export.
    batch, _, _, channels = image.shape
    end = (batch, first + height, first + width, channels)
    return jax.lax.slice(image, (0, first, first, 0), end)


def _correlate(
    image: Array, kernel: Array, strides: Sequence[int], padding: Any
) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        image, kernel, strides, padding, dimension_numbers=numbers
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
            for row, column in np.ndindex(2, 2)
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
    rows, columns = height // 2 - blocks + 1, width // 2 - blocks + 1
    result = _correlate(image, kernels, (1, 1), "SAME")
    result = crop(result, (blocks - 1) // 2, rows, columns)
    result = result.reshape(batch, rows, columns, 2, 2, channels_out)
    result = result.transpose(0, 1, 3, 2, 4, 5)
    return result.reshape(batch, 2 * rows, 2 * columns, channels_out)
