import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

import nstjax
from nstjax.network.architecture import (
    CONV_LAYERS,
    VGG16,
    architecture_of,
    kernel_shapes,
    layer_channels,
)
from nstjax.network.random_weights import VGG19_SCALES, random_params


def test_random_network_has_vgg19s_shapes():
    shapes = {layer: part["kernel"].shape for layer, part in random_params().items()}
    assert shapes == kernel_shapes()


def test_a_random_vgg_16_has_that_ones_layers():
    widths = dict.fromkeys(VGG16.convolutions, 4)
    params = random_params(0, widths, VGG16)
    assert architecture_of(params) == VGG16
    shapes = {layer: part["kernel"].shape for layer, part in params.items()}
    assert shapes == kernel_shapes(widths, VGG16)


@jax.jit
def mean_squares(params):
    image = nstjax.preprocess(skimage.data.chelsea()[:256:4, 64:320:4] / 255)
    activations = nstjax.features(params, image, CONV_LAYERS)
    return jnp.stack([jnp.square(F).sum(-1).mean() for F in activations.values()])


@pytest.mark.parametrize("divisor", [8, 16])
def test_activations_of_any_width_are_about_as_large_as_vgg19s(divisor):
    widths = {layer: layer_channels(layer) // divisor for layer in CONV_LAYERS}
    # One narrow network is far off by chance; the mean of several is not.
    squares = [mean_squares(random_params(seed, widths)) for seed in range(4)]
    expected = [
        VGG19_SCALES[layer] ** 2 * layer_channels(layer) for layer in CONV_LAYERS
    ]
    ratio = np.sqrt(np.mean(squares, axis=0) / expected)
    # Pooling and borders take some of it away with depth.
    assert (ratio > 0.1).all()
    assert (ratio < 4).all()


def test_seeds_give_different_networks():
    first, second = (
        random_params(seed, dict.fromkeys(CONV_LAYERS, 2)) for seed in (0, 1)
    )
    assert not np.array_equal(first["conv3_1"]["kernel"], second["conv3_1"]["kernel"])
