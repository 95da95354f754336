"""What changes in a network's results where the photo only moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from nstjax.feedforward.training import flicker

flicker_loss = jax.jit(flicker.flicker_loss)
moved_photos = jax.jit(flicker.moved_photos)


def pictures(count, height, width):
    return np.random.default_rng(0).random((count, height, width, 3))


def warped(image, flow):
    """By SciPy, in float64."""
    places = np.mgrid[: image.shape[0], : image.shape[1]] + np.moveaxis(flow, -1, 0)
    channels = [
        scipy.ndimage.map_coordinates(channel, places, order=1, mode="nearest")
        for channel in np.moveaxis(image, -1, 0)
    ]
    return np.stack(channels, -1)


def test_pixels_come_from_where_the_flow_says():
    (image,) = pictures(1, 20, 24)
    flow = np.random.default_rng(1).normal(scale=6.0, size=(20, 24, 2))
    result = jax.jit(flicker.warp)(jnp.float32(image), jnp.float32(flow))
    np.testing.assert_allclose(result, warped(image, flow), atol=2e-5)


def test_neighbors_move_alike_and_pictures_do_not():
    keys = jax.random.split(jax.random.key(0), 50)
    flows = np.asarray(jax.vmap(lambda key: flicker.smooth_flow(key, 64, 48))(keys))
    shifts = flows.mean((1, 2))
    assert np.abs(shifts).max() < flicker.LARGEST_SHIFT + flicker.LARGEST_BEND
    # Uniform in ±LARGEST_SHIFT.
    expected = flicker.LARGEST_SHIFT / np.sqrt(3)
    np.testing.assert_allclose(shifts.std(0), expected, rtol=0.25)
    bends = (flows - shifts[:, None, None]).std((1, 2))
    assert 0.2 < bends.mean() < flicker.LARGEST_BEND / 2
    for axis in (1, 2):
        assert np.abs(np.diff(flows, axis=axis)).max() < 1.0


@pytest.mark.parametrize("height, width", [(96, 80), (16, 12)])
def test_the_loss_equals_its_definition(height, width):
    photos = pictures(2, height, width)
    moved, flows = moved_photos(jax.random.key(3), jnp.float32(photos))
    expected = []
    for photo, after, flow in zip(photos, moved, np.asarray(flows), strict=True):
        difference = np.abs(warped(photo**2, flow) - np.asarray(after) ** 3)
        top, left = min(16, height // 4), min(16, width // 4)
        expected.append(difference[top : height - top, left : width - left].mean())
    found = flicker_loss(jnp.float32(photos**2), moved**3, flows)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_leaves_the_photo_as_it_is_shows_the_noise_alone():
    photos = jnp.float32(pictures(2, 64, 64))
    moved, flows = moved_photos(jax.random.key(0), photos)
    # mean |ε| of a normal distribution is σ √(2/π).
    expected = flicker.NOISE * np.sqrt(2 / np.pi)
    np.testing.assert_allclose(flicker_loss(photos, moved, flows), expected, rtol=0.05)
