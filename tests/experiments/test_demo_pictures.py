import colorsys
import functools

import numpy as np
import pytest
from scipy import ndimage

from experiments.demo_pictures.painting import paint

# Strokes are as many in a small picture.
painted = functools.cache(paint)


@pytest.fixture(scope="module")
def picture():
    return painted(64, 80, 0)


def halved(image):
    height, width, _ = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))


def test_is_float32_srgb_of_the_asked_size(picture):
    assert picture.shape == (64, 80, 3)
    assert picture.dtype == np.float32
    assert 0 <= picture.min() < 0.1
    assert 0.9 < picture.max() <= 1


def test_one_seed_paints_one_picture():
    np.testing.assert_array_equal(paint(48, 36, seed=0), painted(48, 36, 0))


def test_another_seed_paints_another_picture(picture):
    assert np.abs(painted(64, 80, 1) - picture).mean() > 0.05


@pytest.mark.parametrize("seed", [0, 1])
def test_has_no_flat_patch(seed):
    gray = painted(64, 80, seed).mean(-1)
    window = 7
    mean = ndimage.uniform_filter(gray, window)
    variance = ndimage.uniform_filter(gray**2, window) - mean**2
    assert np.sqrt(variance.min()) > 0.02


def test_neither_shadows_nor_lights_are_clipped(picture):
    assert (picture.max(-1) < 1 / 255).mean() < 0.001
    assert (picture.min(-1) > 254 / 255).mean() < 0.001


def test_sets_warm_against_cool(picture):
    hues, saturations, _ = np.array(
        [colorsys.rgb_to_hsv(*map(float, pixel)) for pixel in picture.reshape(-1, 3)]
    ).T
    vivid = saturations > 0.4
    warm = vivid & ((hues < 70 / 360) | (hues > 330 / 360))
    cool = vivid & (hues > 160 / 360) & (hues < 270 / 360)
    assert warm.mean() > 0.2
    assert cool.mean() > 0.2


def test_is_the_same_picture_at_twice_the_size():
    larger, smaller = painted(96, 72, 0), painted(48, 36, 0)
    assert np.corrcoef(halved(larger).ravel(), smaller.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("height", "width"), [(64, 80), (48, 36)])
def test_keeps_its_composition_in_other_frames(height, width):
    picture = painted(height, width, 0)
    sky, ground = picture[: int(0.3 * height)], picture[-(height // 8) :]
    sun = picture[int(0.45 * height), int(0.30 * width)]
    assert picture.shape == (height, width, 3)
    assert sky[..., 2].mean() > sky[..., 0].mean()
    assert ground[..., 0].mean() > ground[..., 2].mean()
    assert sun[0] > max(0.8, sun[2] + 0.05)
