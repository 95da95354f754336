import itertools

import jax
import numpy as np
import pytest
import reference

from nstjax.network.architecture import LAYERS, summarize
from nstjax.network.guides import layer_guides, normalize_guide
from nstjax.network.vgg import features

# Convolutions in float64 take seconds to compile at the default level.
PROBED = ("relu1_1", "conv1_2", "pool1", "relu2_2", "pool2", "relu3_1", "relu4_1")
MODES = ("simple", "inside", "all")


# So many channels that a change in an image shows in one of them everywhere.
PARAMS = reference.random_params(channels=(16,) * 4, blocks=4)


def ragged_mask(height, width):
    """Half a disc at the border with a hole of one pixel, and a bar of two columns."""
    rows, columns = np.mgrid[:height, :width]
    mask = np.hypot(rows - height // 3, columns) < 9
    mask[height // 3, 4] = False
    mask[-7:, width - 4 : width - 2] = True
    return mask


@pytest.mark.parametrize(
    ("size", "padding"),
    [((45, 38), "same"), ((139, 106), "valid")],
)
def test_guides_are_where_activations_change(size, padding, float64):
    mask = ragged_mask(*size)
    image, noise = (reference.random_image(seed, *size) for seed in (1, 2))
    activate = jax.jit(
        lambda image: features(PARAMS, image, PROBED, pool_padding=padding)
    )
    before = activate(image)
    after = activate(image + 100 * noise * mask[:, :, None])
    sees_any = layer_guides(mask, PROBED, "all", 0, padding)
    sees_only = layer_guides(~mask, PROBED, "inside", 0, padding)
    assert list(sees_any) == list(sees_only) == list(PROBED)
    for name in PROBED:
        changes = np.any(np.asarray(before[name] != after[name]), axis=-1)
        np.testing.assert_array_equal(sees_any[name], changes, err_msg=name)
        np.testing.assert_array_equal(sees_only[name], ~changes, err_msg=name)
    # The deepest layer does not all see the same in the larger image.
    assert size == (45, 38) or 0.1 < changes.mean() < 0.9


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_simple_is_the_mean_of_the_pooled_pixels(padding):
    mask = np.random.default_rng(0).uniform(0, 1, (45, 38))
    guides = layer_guides(mask, ("relu1_2", "conv3_4", "pool3"), "simple", 0, padding)
    pooled = [mask[:, :, None]]
    for _ in range(3):
        pooled.append(reference.pool(pooled[-1], "avg", padding))
    for guide, block in zip(guides.values(), (0, 2, 3), strict=True):
        assert guide.dtype == np.float32
        np.testing.assert_allclose(guide, pooled[block][:, :, 0], rtol=1e-6)


@pytest.mark.parametrize("mode", ["inside", "all"])
def test_inside_and_all_are_about_the_half_and_more(mode):
    soft = np.full((24, 24), 0.49)
    soft[:16, 3:22] = 0.5
    found, expected = (
        layer_guides(mask, ("relu2_1",), mode)["relu2_1"]
        for mask in (soft, soft == 0.5)
    )
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found)) == {0, 1}


@pytest.mark.parametrize("mode", MODES)
def test_everything_and_nothing_stay_so_at_every_layer(mode):
    sizes = {row.name: row.shape[:2] for row in summarize(37, 50)}
    for value, dilation in itertools.product((0, 1), (-2, 0, 3)):
        mask = np.full((37, 50), value, np.float32)
        guides = layer_guides(mask, LAYERS, mode, dilation)
        assert set(guides) == set(LAYERS)
        for name, guide in guides.items():
            np.testing.assert_array_equal(guide, np.full(sizes[name], value))


def test_dilation_is_by_positions_of_the_layer():
    mask = np.zeros((32, 32))
    mask[16:18, 16:18] = 0.8
    expected = np.zeros((16, 16))
    for dilation in (0, 1, 3):
        guide = layer_guides(mask, ("relu2_1",), "simple", dilation)["relu2_1"]
        expected[8 - dilation : 9 + dilation, 8 - dilation : 9 + dilation] = 0.8
        np.testing.assert_allclose(guide, expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["inside", "all"])
def test_dilation_comes_after_what_positions_see(mode):
    mask = np.zeros((20, 20))
    mask[:, :10] = 1
    seen = 9 if mode == "inside" else 11
    for dilation in (-2, 0, 3):
        guide = layer_guides(mask, ("conv1_1",), mode, dilation)["conv1_1"]
        np.testing.assert_array_equal(guide.sum(axis=1), seen + dilation)


def test_erosion_does_not_eat_from_the_border():
    mask, expected = np.zeros((2, 20, 20))
    mask[:9], mask[9] = 1, 0.25
    expected[:7], expected[7] = 1, 0.25
    guide = layer_guides(mask, ("conv1_1",), "simple", -2)["conv1_1"]
    np.testing.assert_array_equal(guide, expected)


@pytest.mark.parametrize("mode", MODES)
def test_a_normalized_guide_has_mean_square_one(mode):
    guides = layer_guides(~ragged_mask(64, 80), ("relu1_1", "relu3_1"), mode, 1)
    for guide in guides.values():
        normalized = normalize_guide(guide)
        np.testing.assert_allclose(np.mean(normalized**2), 1, rtol=1e-5)
        np.testing.assert_allclose(normalized, guide * normalized.max(), rtol=1e-5)


def test_a_region_of_less_than_a_position_has_no_guide():
    assert normalize_guide(np.zeros((4, 4))) is None
    assert normalize_guide(np.full((3, 3), 0.3)) is None
    one = np.eye(4) * [0, 0, 1, 0]
    np.testing.assert_allclose(normalize_guide(one), 4 * one)
