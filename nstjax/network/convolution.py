"""The network's 3×3 convolution, by whichever algorithm is fastest for its size.

On a CPU with bfloat16 instructions, Winograd's F(2×2, 3×3): with d a 4×4 window of the
input, g the kernel and Y the 2×2 outputs of the window,

    Y = Aᵀ [ Σ_channels (G g Gᵀ) ⊙ (Bᵀ d B) ] A

    Bᵀ = 1  0 -1  0     G = 1   0   0     Aᵀ = 1  1  1  0
         0  1  1  0         ½   ½   ½          0  1 -1 -1
         0 -1  1  0         ½  -½   ½
         0  1  0 -1         0   0   1

which takes 16 products for 4 outputs in place of 36. They are 16 matrix products of
bfloat16 operands with float32 sums; the transforms are float32. The gradient with
respect to the input is a convolution with the kernel turned by 180° and transposed,
whose transform is that of the kernel in another order.

Source:
  Lavin and Gray (2016), "Fast Algorithms for Convolutional Neural Networks".
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

Precision = Literal["float32", "mixed"]

# With fewer channels the transforms take longer than the products that they save.
FEWEST_CHANNELS = 64
FEWEST_MULTIPLICATIONS = 64 * 128
# Where row i of G k Gᵀ is found for k turned by 180°.
TURNED = (3, 1, 2, 0)


def conv3x3(
    activation: Array,
    kernel: Array,
    precision: Precision = "float32",
    row_devices: int = 1,
) -> Array:
    """Convolution of stride 1 with zero padding 1.

    Args:
      activation: shape [height, width, in].
      kernel: shape [3, 3, in, out].
      precision: "float32", or "mixed": products of bfloat16 operands and float32 sums,
        with a relative error of 2e-3 (4e-3 by Winograd's algorithm).
      row_devices: over how many devices the rows are split.

    Returns:
      Shape [height, width, out], in the activation's type.
    """
    if precision == "float32":
        return direct_convolution(activation, kernel)
    if jax.default_backend() != "cpu":
        return direct_convolution(
            activation.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
        ).astype(activation.dtype)
    if row_devices == 1 and winograd_pays(*kernel.shape[2:]):
        return winograd_convolution(activation, kernel)
    return direct_convolution(activation, kernel)


def winograd_pays(channels_in: int, channels_out: int) -> bool:
    """Whether Winograd's algorithm is the faster one on a CPU, in mixed precision."""
    return (
        min(channels_in, channels_out) >= FEWEST_CHANNELS
        and channels_in * channels_out >= FEWEST_MULTIPLICATIONS
    )


def direct_convolution(activation: Array, kernel: Array) -> Array:
    """``conv3x3`` as XLA computes it, in the type of its operands."""
    # Of float32 operands a GPU would else use the first 10 bits only (TF32).
    return jax.lax.conv_general_dilated(
        activation[None],
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,
    )[0]


@jax.custom_vjp
def winograd_convolution(activation: Array, kernel: Array) -> Array:
    """``conv3x3`` by Winograd's algorithm, with products of bfloat16 operands."""
    return _products(activation, _transformed_kernel(kernel))


def _winograd_forward(
    activation: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array, list[list[Array]]]]:
    transformed = _transformed_kernel(kernel)
    return _products(activation, transformed), (activation, kernel, transformed)


def _winograd_backward(
    residuals: tuple[Array, Array, list[list[Array]]], gradient: Array
) -> tuple[Array, Array]:
    activation, kernel, transformed = residuals
    turned = [[transformed[i][j].T for j in TURNED] for i in TURNED]
    # What nobody asks for, such as this when an image is optimized, XLA leaves out.
    _, kernel_gradient = jax.vjp(
        lambda kernel: direct_convolution(activation, kernel), kernel
    )
    return _products(gradient, turned), *kernel_gradient(gradient)


winograd_convolution.defvjp(_winograd_forward, _winograd_backward)


def _products(activation: Array, kernel: Sequence[Sequence[Array]]) -> Array:
    """Σ_channels of kernel ⊙ (Bᵀ d B), transformed back: the convolution."""
    height, width, _ = activation.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padded = jnp.pad(
        activation,
        ((1, 2 * rows - height + 1), (1, 2 * columns - width + 1), (0, 0)),
    )

    # Slices and 16 products, not one array with an axis of 16: XLA:CPU is several
    # times slower with that.
    def every_second(array: Array, axis: int, start: int, count: int) -> Array:
        return jax.lax.slice_in_dim(array, start, start + 2 * count - 1, 2, axis)

    tiles = [
        _input_transform([every_second(part, 1, start, columns) for start in range(4)])
        for part in _input_transform(
            [every_second(padded, 0, start, rows) for start in range(4)]
        )
    ]
    products = [
        _output_transform(
            [
                jnp.matmul(
                    tile.astype(jnp.bfloat16), part, preferred_element_type=jnp.float32
                )
                for tile, part in zip(tile_row, kernel_row, strict=True)
            ]
        )
        for tile_row, kernel_row in zip(tiles, kernel, strict=True)
    ]
    pixels = [_output_transform(parts) for parts in zip(*products, strict=True)]
    turned = [jnp.stack(parts, 2) for parts in zip(*pixels, strict=True)]
    whole = jnp.stack(turned, 1).reshape(2 * rows, 2 * columns, -1)
    return whole[:height, :width].astype(activation.dtype)


def _transformed_kernel(kernel: Array) -> list[list[Array]]:
    """G k Gᵀ in bfloat16: 4×4 arrays [in, out]."""
    rows = _kernel_transform(kernel)
    return [
        [part.astype(jnp.bfloat16) for part in _kernel_transform(row)] for row in rows
    ]


def _kernel_transform(k: Array | Sequence[Array]) -> list[Array]:
    even, odd = 0.5 * (k[0] + k[2]), 0.5 * k[1]
    return [k[0], even + odd, even - odd, k[2]]


def _input_transform(d: Sequence[Array]) -> list[Array]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_transform(m: Sequence[Array]) -> list[Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
