"""Convolutions equal their definitions, whichever way they are computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from flax import nnx

from nstjax.feedforward.networks import convolution
from nstjax.feedforward.networks.convolution import (
    Convolution,
    convolve,
    enlarge,
    enlarge_bilinear,
    reflect,
    transposed,
)

# Convolutions in float64 take seconds to compile at the default level.

# Size, stride, padding, channels in and out, height, width.
IN_BLOCKS = [
    (9, 1, 0, 3, 5, 16, 20),
    (9, 1, 4, 5, 3, 6, 10),
    (7, 1, 0, 3, 5, 12, 10),
    (5, 1, 2, 2, 4, 6, 8),
]
COMPUTED = [
    *IN_BLOCKS,
    (9, 1, 0, 3, 5, 16, 19),
    (3, 1, 1, 3, 5, 6, 8),
    (3, 2, 0, 5, 6, 9, 7),
    (3, 2, 1, 5, 6, 8, 7),
]
# The rest only takes the way of those above.
SHAPES = [
    *COMPUTED,
    (9, 1, 4, 5, 6, 4, 3),
    (3, 1, 0, 5, 6, 7, 8),
    (1, 1, 0, 5, 2, 3, 4),
    (9, 2, 4, 3, 6, 8, 6),
]
shapes = pytest.mark.parametrize(
    "size, stride, padding, channels_in, channels_out, height, width", COMPUTED
)


def drawn(*shapes):
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for shape in shapes]


def correlation(image, kernel, stride, padding):
    """By SciPy, one pair of channels at a time."""
    border = [(padding, padding)] * 2
    result = [
        [
            sum(
                scipy.signal.correlate2d(
                    np.pad(picture[..., i], border), kernel[..., i, o], "valid"
                )
                for i in range(kernel.shape[2])
            )
            for o in range(kernel.shape[3])
        ]
        for picture in image
    ]
    return np.moveaxis(result, 1, -1)[:, ::stride, ::stride]


def transposed_convolution(image, kernel):
    """Every pixel stamps the kernel, two rows and columns apart: 2·height + 1."""
    height, width, _ = image.shape
    result = np.zeros((2 * height + 1, 2 * width + 1, kernel.shape[-1]))
    for row, column in np.ndindex(height, width):
        result[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += np.einsum(
            "i,klio->klo", image[row, column], kernel
        )
    return result


@functools.partial(jax.jit, static_argnums=(3, 4))
def with_gradients(image, kernel, direction, stride, padding):
    """The result and its gradients, by what is tested and by JAX's own convolution."""

    def plain(image, kernel):
        border = [(padding, padding)] * 2
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            image, kernel, (stride, stride), border, dimension_numbers=numbers
        )

    def tested(image, kernel):
        return convolve(image, kernel, stride, padding)

    results = []
    for function in (tested, plain):
        value, pull_back = jax.vjp(function, image, kernel)
        results.append((value, *pull_back(direction)))
    return results


@shapes
def test_a_convolution_equals_its_definition_with_its_gradients(
    size, stride, padding, channels_in, channels_out, height, width, float64
):
    image, kernel = drawn(
        (2, height, width, channels_in), (size, size, channels_in, channels_out)
    )
    expected = correlation(image, kernel, stride, padding)
    (direction,) = drawn(expected.shape)
    tested, plain = with_gradients(image, kernel, direction, stride, padding)
    np.testing.assert_allclose(tested[0], expected, rtol=0, atol=1e-12)
    for gradient, expected in zip(tested[1:], plain[1:], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-11)


def test_gradients_through_blocks_are_finite_differences(float64):
    image, kernel, along, across = drawn(*[(1, 10, 10, 3), (9, 9, 3, 5)] * 2)

    def value(image, kernel):
        return jnp.sum(jnp.sin(convolve(image, kernel, 1)))

    def expected(image, kernel):
        return np.sin(correlation(image, kernel, 1, 0)).sum()

    gradient = jax.jit(jax.grad(value, argnums=(0, 1)))
    by_image, by_kernel = gradient(image, kernel)
    slope = np.vdot(by_image, along) + np.vdot(by_kernel, across)
    step = 1e-6
    above = expected(image + step * along, kernel + step * across)
    below = expected(image - step * along, kernel - step * across)
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_large_kernels_with_few_channels_run_in_blocks(shape, monkeypatch):
    size, stride, padding, channels_in, channels_out, height, width = shape
    calls = []

    def in_blocks(image, kernel):
        calls.append(image.shape)
        return image

    monkeypatch.setattr(convolution, "_in_blocks", in_blocks)
    jax.eval_shape(
        lambda image, kernel: convolve(image, kernel, stride, padding),
        jnp.zeros((2, height, width, channels_in)),
        jnp.zeros((size, size, channels_in, channels_out)),
    )
    padded = (2, height + 2 * padding, width + 2 * padding, channels_in)
    assert calls == ([padded] if shape in IN_BLOCKS else [])


@pytest.mark.parametrize("crop_first", [True, False])
def test_a_transposed_convolution_equals_torch_and_tensorflow(crop_first, float64):
    image, kernel = drawn((2, 3, 4, 5), (3, 3, 5, 6))
    whole = np.stack([transposed_convolution(picture, kernel) for picture in image])
    # Torch: padding 1 cuts a row off both sides, output padding 1 gives the last back.
    # TensorFlow: SAME of stride 2 keeps the first.
    expected = whole[:, 1:, 1:] if crop_first else whole[:, :-1, :-1]
    # Both stamp the kernel as it is: as a correlation it is flipped.
    result = transposed(image, kernel[::-1, ::-1], crop_first)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("crop_first", [True, False])
def test_a_transposed_convolution_is_a_strided_one_s_gradient(crop_first, float64):
    # TensorFlow's SAME pads an even side by (0, 1), Torch's convolution by (1, 1).
    border = (1, 1) if crop_first else (0, 1)
    large, small, kernel = drawn((1, 8, 6, 6), (1, 4, 3, 5), (3, 3, 5, 6))
    padded = np.pad(large, [(0, 0), border, border, (0, 0)])
    strided = correlation(padded, kernel.swapaxes(2, 3), 2, 0)
    result = transposed(small, kernel[::-1, ::-1], crop_first)
    assert np.vdot(result, large) == pytest.approx(np.vdot(small, strided), rel=1e-12)


def test_reflection_leaves_the_border_s_own_pixels_single():
    (image,) = drawn((2, 5, 6, 3))
    rows, columns = [2, 1, 0, 1, 2, 3, 4, 3, 2], [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]
    expected = np.float32(image)[:, rows][:, :, columns]
    np.testing.assert_array_equal(reflect(jnp.asarray(image), 2), expected)


def test_enlarging_repeats_every_pixel_twice():
    (image,) = drawn((2, 3, 4, 5))
    expected = np.kron(image, np.ones((1, 2, 2, 1))).astype(np.float32)
    np.testing.assert_array_equal(enlarge(jnp.asarray(image)), expected)


@pytest.mark.parametrize("height, width", [(5, 4), (1, 3), (2, 1)])
def test_bilinear_enlarging_equals_scipy_s(height, width, float64):
    (image,) = drawn((2, height, width, 3))
    zoom = functools.partial(scipy.ndimage.zoom, order=1, mode="nearest")
    expected = zoom(image, (1, 2, 2, 1), grid_mode=True)
    result = jax.jit(enlarge_bilinear)(image)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14)


def test_bilinear_enlarging_leaves_a_slope_straight():
    slope = np.arange(8, dtype=np.float32)[None, :, None, None]
    result = np.asarray(jax.jit(enlarge_bilinear)(slope))
    np.testing.assert_array_equal(result[0, 1:-1, 0, 0], 0.25 + 0.5 * np.arange(14))


@jax.jit(static_argnames="padding")
def applied(layer, image, padding=0):
    return layer(image, padding)


def drawn_layer(*channels, stride=1, **options):
    make = functools.partial(Convolution, *channels, 3, stride=stride, **options)
    draw = jax.jit(lambda: nnx.state(make(rngs=nnx.Rngs(0))))
    layer = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    nnx.update(layer, draw())
    return layer


@pytest.mark.parametrize("padding, stride", [(1, 1), (0, 2)])
def test_a_layer_adds_its_bias(padding, stride):
    layer = drawn_layer(5, 6, stride=stride)
    (image,) = drawn((2, 6, 7, 5))
    expected = correlation(image, np.float64(layer.kernel[...]), stride, padding)
    expected += np.float64(layer.bias[...])
    result = applied(layer, np.float32(image), padding)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_a_layer_without_bias_has_none():
    layer = drawn_layer(5, 6, bias=False)
    assert layer.bias is None
    assert not np.any(applied(layer, np.zeros((2, 6, 7, 5), np.float32)))


@pytest.mark.parametrize(
    "initialization, deviation, largest",
    [
        # Torch's: U(±1/√fan_in) of both.
        ("fan-in", (9 * 32 * 3) ** -0.5, (9 * 32) ** -0.5),
        ("normal", 0.01, np.inf),
        # Of the normal distribution cut at two standard deviations.
        ("truncated-normal", 0.1 * 0.8796, 0.2),
    ],
)
def test_weights_are_drawn_as_published(initialization, deviation, largest):
    layer = drawn_layer(32, 64, initialization=initialization)
    kernel, bias = np.asarray(layer.kernel[...]), np.asarray(layer.bias[...])
    assert kernel.shape == (3, 3, 32, 64)
    # 18432 numbers: their deviation is known to 0.5 %.
    assert kernel.std() == pytest.approx(deviation, rel=0.02)
    assert abs(kernel.mean()) < 0.04 * deviation
    assert np.abs(kernel).max() <= largest
    if initialization == "fan-in":
        assert bias.std() == pytest.approx(deviation, rel=0.3)
        assert np.abs(bias).max() <= largest
    else:
        assert not bias.any()
