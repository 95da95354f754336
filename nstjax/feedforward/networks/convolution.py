"""Convolutions of the feed-forward networks: fast on a CPU, with published weights."""

import functools
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.nn import initializers

from nstjax.feedforward.networks.architecture import Initialization

FEW_CHANNELS = 4

# Of each of the two pixels that one becomes, what each of three neighbors (rows) gives
# to each of the kernel's three taps (columns), which lie on enlarged pixels.
ENLARGEMENTS = {
    "nearest": (
        ((1, 0, 0), (0, 1, 1), (0, 0, 0)),
        ((0, 0, 0), (1, 1, 0), (0, 0, 1)),
    ),
    "bilinear": (
        ((0.75, 0.25, 0), (0.25, 0.75, 0.75), (0, 0, 0.25)),
        ((0.25, 0, 0), (0.75, 0.75, 0.25), (0, 0.25, 0.75)),
    ),
}

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
    size. Padding is "VALID" or pairs of rows and columns of zeros; ``others`` are the
    defaults that ``flax.nnx.Conv`` passes.
    """
    size, _, _, channels = kernel.shape
    if channels > FEW_CHANNELS or tuple(strides) != (1, 1):
        return _correlate(image, kernel, strides, padding)
    # With few outputs XLA:CPU runs at a fraction of its speed, and backward most of
    # all: each row of the kernel has outputs of its own, and these are added up.
    rows, columns = ((0, 0), (0, 0)) if padding == "VALID" else padding
    image = jnp.pad(image, [(0, 0), rows, (0, 0), (0, 0)])
    by_row = kernel.transpose(1, 2, 0, 3).reshape(1, size, -1, size * channels)
    products = _correlate(image, by_row, strides, [(0, 0), columns])
    height, width = products.shape[1] - size + 1, products.shape[2]
    batch = image.shape[0]
    parts = [
        jax.lax.slice(
            products,
            (0, row, 0, row * channels),
            (batch, row + height, width, (row + 1) * channels),
        )
        for row in range(size)
    ]
    return functools.reduce(jnp.add, parts)


def convolve_enlarged(image: Array, kernel: Array, upsampling: str) -> Array:
    """Enlarge to twice the sides, repeat the border's pixels, convolve by 3×3: in one.

    For each of the four pixels that one becomes, the enlargement and the convolution
    are one linear map of its 3×3 neighborhood, so that there is one convolution, with
    four times the channels, of the image as it was. With E[p, a, k], of pixel p's tap k
    what neighbor a gives,

    w'[a, b, c, (p, q, o)] = Σ_kl E[p, a, k] E[q, b, l] w[k, l, c, o].

    Bilinear interpolation is y[2i] = (x[i - 1] + 3·x[i])/4 and
    y[2i + 1] = (3·x[i] + x[i + 1])/4 along each axis.

    Images are [batch, height, width, in] and kernels [3, 3, in, out].
    """
    enlargement = jnp.asarray(ENLARGEMENTS[upsampling], kernel.dtype)
    batch, height, width, _ = image.shape
    _, _, channels_in, channels = kernel.shape
    folded = jnp.einsum(
        "pak,qbl,klio->abipqo", enlargement, enlargement, kernel, precision="highest"
    )
    folded = folded.reshape(3, 3, channels_in, 4 * channels)
    for axis in (1, 2):
        side = image.shape[axis]
        part = partial(jax.lax.slice_in_dim, image, axis=axis)
        # Padding with edge values says the same, but its gradient is slow;
        # jnp.concatenate does not let jax2onnx add up sides that are not known yet.
        borders = part(0, 1), part(side - 1, side)
        image = jax.lax.concatenate([borders[0], image, borders[1]], axis)
    result = _correlate(image, folded, (1, 1), "VALID")
    result = result.reshape(batch, height, width, 2, 2, channels)
    result = result.transpose(0, 1, 3, 2, 4, 5)
    return result.reshape(batch, 2 * height, 2 * width, channels)


def convolve_folded(
    layer: Convolution | TransposedConvolution, activation: Array, upsampling: str
) -> Array:
    """A layer of reflection padding, of what is enlarged: ``convolve_enlarged``."""
    result = convolve_enlarged(activation, layer.kernel[...], upsampling)
    return result if layer.bias is None else result + layer.bias[None, None, None]


def enlarge(image: Array, upsampling: str) -> Array:
    """Enlarge to twice the sides: ``convolve_enlarged`` with nothing to convolve."""
    identity = jnp.eye(image.shape[-1], dtype=image.dtype)
    kernel = jnp.pad(identity[None, None], [(1, 1), (1, 1), (0, 0), (0, 0)])
    return convolve_enlarged(image, kernel, upsampling)


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
