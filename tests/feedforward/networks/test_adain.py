"""Arbitrary style: the statistics of a painting, and the decoder."""

import jax
import numpy as np
import pytest
import reference
import scipy.ndimage
from feedforward_networks import random_network, run

from nstjax.feedforward.networks.adain import (
    adaptive_instance_normalization,
    make_encoder,
    style_of_code,
)
from nstjax.feedforward.networks.architecture import AdaINArchitecture

# Convolutions in float64 take seconds to compile at the default level.
EPSILON = 1e-5


@jax.jit
def restyle(content, style):
    return adaptive_instance_normalization(content, style_of_code(style))


def codes(seed, height, width, channels=4):
    """Two codes as a rectified layer has them, each channel with its own size."""
    random = np.random.default_rng(seed)
    sizes = random.uniform(0.5, 20, channels)
    return np.maximum(random.normal(1, 1, (2, height, width, channels)), 0) * sizes


def test_a_restyled_code_equals_its_definition(float64):
    content, style = codes(1, 5, 7), codes(2, 4, 3)
    expected = np.empty_like(content)
    for picture, channel in np.ndindex(2, 4):
        c, s = content[picture, ..., channel], style[picture, ..., channel]
        deviation, wanted = (np.sqrt(x.var() + EPSILON) for x in (c, s))
        expected[picture, ..., channel] = wanted * (c - c.mean()) / deviation + s.mean()
    result = restyle(content, style)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_flat_channels_give_numbers_with_finite_gradients():
    content, style = codes(1, 5, 7), codes(2, 4, 3)
    content[..., 0] = content[..., 1] = 7.0
    style[..., 0] = style[..., 2] = 0.0

    @jax.jit
    def with_gradient(content, style):
        result, pull_back = jax.vjp(restyle, content, style)
        return result, pull_back(result)

    result, gradients = jax.tree.map(np.asarray, with_gradient(content, style))
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    # Flat and to be flat; flat and to vary; to be flat.
    np.testing.assert_allclose(result[..., 0], 0, atol=1e-5)
    expected = np.broadcast_to(style[..., 1].mean((1, 2))[:, None, None], (2, 5, 7))
    np.testing.assert_allclose(result[..., 1], expected, rtol=1e-2)
    np.testing.assert_allclose(result[..., 2], 0, atol=0.02)


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_the_encoder_is_vgg_19_up_to_relu4_1(pool, float64):
    params = reference.random_params(blocks=4)
    images = np.random.default_rng(3).uniform(size=(2, 17, 19, 3))
    encode = jax.jit(make_encoder(params, pool))
    result = np.asarray(encode(images))
    for image, code in zip(images, result, strict=True):
        pixels = 255 * image - reference.MEAN_RGB
        layers = reference.trunk(params, pixels, ["relu4_1"], pool, "same")
        # The mean color is of float32 there.
        np.testing.assert_allclose(code, layers["relu4_1"], atol=1e-4)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_the_decoder_equals_its_definition(upsampling, float64):
    # Three channels in the middle are rectified as any others are.
    channels = deep, middle, shallow = (6, 5, 3)
    architecture = AdaINArchitecture(
        encoder_channels=7, channels=channels, upsampling=upsampling
    )
    decoder = random_network(architecture)
    code = codes(5, 2, 3, channels=7)
    result = np.asarray(run(decoder, code))
    assert result.shape == (2, 16, 24, 3)

    # 512-256 | up | 256-256 ×3, 256-128 | up | 128-128, 128-64 | up | 64-64, 64-3
    layers = [layer for block in decoder.blocks for layer in block]
    outputs = [deep] * 4 + [middle] * 2 + [shallow] * 2 + [3]
    assert [layer.kernel.shape[-1] for layer in layers] == outputs
    for picture, expected in zip(result, code, strict=True):
        for index, layer in enumerate(layers):
            enlarged = index in (1, 5, 7)
            if enlarged:
                expected = scipy.ndimage.zoom(
                    expected,
                    (2, 2, 1),
                    order=("nearest", "bilinear").index(upsampling),
                    mode="nearest",
                    grid_mode=True,
                )
            expected = reference.convolve(
                *(expected, np.asarray(layer.kernel[...])),
                *(np.asarray(layer.bias[...]), "edge" if enlarged else "reflect"),
            )
            if index < 8:
                expected = np.maximum(expected, 0)
        np.testing.assert_allclose(picture, expected, rtol=0, atol=1e-12)
