"""The painting that nstjax brings, small: strokes are as many as in a large one."""

import functools

import numpy as np
import pytest

from experiments.demo_pictures.painting import paint

painted = functools.cache(paint)


def test_one_seed_paints_one_picture_and_another_another():
    picture = painted(64, 80, 0)
    assert picture.shape == (64, 80, 3)
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(paint(48, 36, seed=0), painted(48, 36, 0))
    assert np.abs(painted(64, 80, 1) - picture).mean() > 0.05
    # Shadows and lights are not clipped.
    assert 0 <= picture.min() < 0.1 and 0.9 < picture.max() <= 1
    assert (picture.max(-1) < 1 / 255).mean() < 0.001
    assert (picture.min(-1) > 254 / 255).mean() < 0.001


def test_is_the_same_picture_at_twice_the_size():
    larger, smaller = painted(96, 72, 0), painted(48, 36, 0)
    halved = larger.reshape(48, 2, 36, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), smaller.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("height", "width"), [(64, 80), (48, 36)])
def test_keeps_its_composition_in_other_frames(height, width):
    picture = painted(height, width, 0)
    sky, ground = picture[: int(0.3 * height)], picture[-(height // 8) :]
    sun = picture[int(0.45 * height), int(0.30 * width)]
    assert sky[..., 2].mean() > sky[..., 0].mean()
    assert ground[..., 0].mean() > ground[..., 2].mean()
    assert sun[0] > max(0.8, sun[2] + 0.05)
