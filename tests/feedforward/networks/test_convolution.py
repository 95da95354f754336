"""Convolutions equal their definitions, whichever way they are computed."""

import functools

import jax
import numpy as np
import pytest
import scipy.ndimage
from feedforward_networks import correlate
from flax import nnx

from nstjax.feedforward.networks.convolution import (
    convolve,
    convolve_enlarged,
    enlarge,
    make_convolution,
)

# Convolutions in float64 take seconds to compile at the default level.

# Size, stride, padding, channels in and out, height, width. Few outputs are computed in
# another way.
COMPUTED = [
    (9, 1, 4, 5, 3, 6, 10),
    (9, 1, 0, 5, 3, 12, 11),
    (5, 1, 2, 2, 4, 6, 8),
    (9, 2, 4, 5, 3, 8, 6),
    (9, 1, 0, 3, 5, 16, 19),
    (3, 1, 1, 3, 5, 6, 8),
    (3, 1, 1, 5, 3, 6, 8),
    (3, 2, 0, 5, 6, 9, 7),
    (3, 2, 1, 5, 6, 8, 7),
    (9, 2, 4, 3, 6, 8, 6),
]


def drawn(*shapes):
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for shape in shapes]


@functools.partial(jax.jit, static_argnums=(3, 4))
def with_gradients(image, kernel, direction, stride, padding):
    """The result and its gradients, by what is tested and by JAX's own convolution."""
    numbers = ("NHWC", "HWIO", "NHWC")
    plain = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=numbers)
    results = []
    for function in (convolve, plain):
        value, pull_back = jax.vjp(
            lambda image, kernel, function=function: function(
                image, kernel, (stride, stride), [(padding, padding)] * 2
            ),
            image,
            kernel,
        )
        results.append((value, *pull_back(direction)))
    return results


@pytest.mark.parametrize("shape", COMPUTED)
def test_a_convolution_equals_its_definition_with_its_gradients(shape, float64):
    size, stride, padding, channels_in, channels_out, height, width = shape
    image, kernel = drawn(
        (2, height, width, channels_in), (size, size, channels_in, channels_out)
    )
    border = (padding, padding)
    padded = np.pad(image, [(0, 0), border, border, (0, 0)])
    expected = correlate(padded, kernel, stride)
    (direction,) = drawn(expected.shape)
    tested, plain = with_gradients(image, kernel, direction, stride, padding)
    np.testing.assert_allclose(tested[0], expected, rtol=0, atol=1e-12)
    for gradient, expected in zip(tested[1:], plain[1:], strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("height, width", [(5, 4), (1, 3), (2, 1)])
def test_an_enlarged_image_is_convolved_as_in_two_steps(
    upsampling, height, width, float64
):
    image, kernel = drawn((2, height, width, 3), (3, 3, 3, 5))
    order = ("nearest", "bilinear").index(upsampling)
    zoom = functools.partial(scipy.ndimage.zoom, order=order, mode="nearest")
    enlarged = zoom(image, (1, 2, 2, 1), grid_mode=True)
    found = jax.jit(enlarge, static_argnums=1)(image, upsampling)
    np.testing.assert_allclose(found, enlarged, rtol=0, atol=1e-14)
    padded = np.pad(enlarged, [(0, 0), (1, 1), (1, 1), (0, 0)], "edge")
    found = jax.jit(convolve_enlarged, static_argnums=2)(image, kernel, upsampling)
    np.testing.assert_allclose(found, correlate(padded, kernel, 1), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "initialization, deviation, largest",
    [
        # Torch's: U(±1/√fan_in) of both.
        ("fan-in", (9 * 32 * 3) ** -0.5, (9 * 32) ** -0.5),
        ("he", (2 / (9 * 32)) ** 0.5, np.inf),
        ("normal", 0.01, np.inf),
        # Of the normal distribution cut at two standard deviations.
        ("truncated-normal", 0.1 * 0.8796, 0.2),
    ],
)
def test_weights_are_drawn_as_published(initialization, deviation, largest):
    options = {"initialization": initialization}
    make = functools.partial(make_convolution, 32, 64, 3, 1, **options)
    drawn = jax.jit(lambda: nnx.state(make(rngs=nnx.Rngs(0))))()
    kernel, bias = (np.asarray(drawn[name][...]) for name in ("kernel", "bias"))
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


def test_a_seed_gives_the_same_kernels_with_a_bias_and_without():
    drawn = [
        nnx.state([make_convolution(2, 2, 1, 0, bias=bias, rngs=rngs) for _ in "ab"])
        for bias in (True, False)
        for rngs in [nnx.Rngs(3)]
    ]
    for one, other in zip(*(list(state.values()) for state in drawn), strict=True):
        np.testing.assert_array_equal(one["kernel"][...], other["kernel"][...])
        assert other.get("bias") is None
