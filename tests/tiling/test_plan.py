"""Windows of an image: their cores share it out, and see no border but the image's."""

import functools

import jax
import numpy as np
import pytest
import reference

from nstjax.errors import InputError
from nstjax.network.architecture import LAYERS
from nstjax.network.vgg import features
from nstjax.tiling.plan import halo, layer_size, needs_tiles, plan_tiles, stride


@pytest.mark.parametrize("layer", ["relu1_2", "conv4_2", "relu5_1", "pool5"])
@pytest.mark.parametrize("side", [100, 511, 512, 777, 1030])
@pytest.mark.parametrize("tile", [32, 128, 512])
def test_cores_share_out_the_image_and_see_no_border_but_its(side, layer, tile):
    plan = plan_tiles(side, 32, layer, tile)
    length = plan.size[0]
    seen = 0
    for window in plan.windows:
        (start, _), (low, _), (high, _) = (map(int, pair) for pair in window)
        assert start + low == seen
        assert 0 <= start <= start + length <= side
        assert start % stride(layer) == low % stride(layer) == 0
        assert low >= halo(layer) or start == 0
        if start + length < side:
            assert high % stride(layer) == 0
            # What an interior window leaves over is lost to its pooling.
            assert length // stride(layer) * stride(layer) - high >= halo(layer)
        seen = start + high
    assert seen == side == start + length
    assert length <= tile + 2 * halo(layer) + side % stride(layer)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [("conv1_1", 1), ("relu1_2", 2), ("conv4_2", 40), ("conv5_1", 80), ("pool5", 128)],
)
def test_the_halo_is_what_a_position_sees(layer, expected):
    assert halo(layer) == expected


def test_rows_and_columns_of_windows():
    plan = plan_tiles(272, 333, "relu5_1", 64)
    assert plan.size == (64 + 160, 64 + 160 + 333 % 16)
    corners = [tuple(window.start) for window in plan.windows]
    assert corners == [(row, column) for row in (0, 48) for column in (0, 64, 96)]
    assert all(array.dtype == np.int32 for array in plan.windows[0])


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_layer_sizes_are_the_networks(padding):
    params = reference.random_params()
    image = reference.random_image(0, 37, 50)
    found = functools.partial(features, layers=LAYERS, pool_padding=padding)
    activations = jax.eval_shape(found, params, image)
    for layer, activation in activations.items():
        sizes = (layer_size(37, layer, padding), layer_size(50, layer, padding))
        assert activation.shape[:2] == sizes


def test_a_tile_is_a_multiple_of_the_stride():
    for tile in (0, -16, 8, 100):
        with pytest.raises(InputError, match=rf"multiple of 16 pixels.*got {tile}"):
            plan_tiles(500, 500, "relu5_1", tile)


def test_an_image_of_one_window_needs_no_tiles():
    assert not needs_tiles(3000, 3000, "relu5_1", None)
    assert not needs_tiles(224, 200, "relu5_1", 64)
    assert needs_tiles(225, 200, "relu5_1", 32)
