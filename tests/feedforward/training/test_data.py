"""Training pictures: the same for a seed, resumed exactly, cut as the rules say."""

import colorsys
import json
import logging
import sys
from collections import Counter
from unittest import mock

import numpy as np
import pytest

from nstjax.errors import InputError
from nstjax.feedforward.training.data import (
    CropRule,
    picture_files,
    recolored,
    square_crop,
    training_batches,
)
from nstjax.io.images import read_image, write_image

SQUASH = CropRule("squash", 16)
RANDOM = CropRule("random", 16)


@pytest.fixture
def photos(tmp_path):
    """Seven flat photos, told apart by their color, of several sizes."""
    for index in range(7):
        shape = (20 + index, 30 - index, 3)
        write_image(tmp_path / f"{index}.png", np.full(shape, index / 255))
    return picture_files(tmp_path)


@pytest.fixture
def textured(tmp_path):
    """Five photos of noise."""
    random = np.random.default_rng(1)
    for index in range(5):
        write_image(tmp_path / f"{index}.png", random.random((24, 40, 3)))
    return picture_files(tmp_path)


def flat(level):
    """A painting of one grey."""
    return np.full((20, 30, 3), level, np.float32)


def shown(batches, count):
    """Which flat photos the next batches hold."""
    pictures = np.concatenate([next(batches)["content"] for _ in range(count)])
    return [round(255 * float(picture.mean())) for picture in pictures]


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_every_photo_comes_once_per_epoch_in_a_new_order(photos):
    batches = training_batches(photos, SQUASH, batch_size=7, seed=0)
    epochs = [shown(batches, 1) for _ in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_seed_decides_order_and_crops_and_workers_do_not(textured):
    def made(seed, workers):
        options = {"batch_size": 3, "seed": seed, "workers": workers}
        batches = training_batches(textured, RANDOM, **options)
        return [next(batches)["content"] for _ in range(5)]

    alone = made(3, 0)
    np.testing.assert_array_equal(alone, made(3, 4))
    assert not np.array_equal(alone, made(4, 0))


@pytest.mark.parametrize("done", [0, 5])
def test_restored_goes_on_bit_for_bit(textured, done):
    textured[2].write_bytes(b"no picture")
    random = np.random.default_rng(2)
    options = {
        "batch_size": 3,
        "seed": 5,
        "styles": 2,
        "paintings": [random.random((30, 20, 3), np.float32) for _ in range(2)],
        "recolor": 0.5,
        "identity": 0.5,
    }
    uninterrupted = training_batches(textured, RANDOM, **options)
    for _ in range(done):
        next(uninterrupted)
    state = json.loads(json.dumps(uninterrupted.state()))
    expected = [next(uninterrupted) for _ in range(4)]

    resumed = training_batches(textured, RANDOM, **options)
    resumed.restore(state)
    assert resumed.state() == state
    for batch in expected:
        assert_same(batch, next(resumed))
    assert resumed.skipped == uninterrupted.skipped == {str(textured[2])}
    assert resumed.state() == uninterrupted.state()

    # What it had read ahead is of no more use.
    uninterrupted.restore(state)
    assert_same(expected[0], next(uninterrupted))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"position": 3, "skipped": []},
        {"position": {"other": 1}, "skipped": []},
        {"position": {"next_index": -1}, "skipped": []},
        {"position": {"next_index": "2"}, "skipped": []},
        {"position": {"next_index": 2}, "skipped": "text"},
    ],
)
def test_what_is_no_position_is_refused(photos, state):
    batches = training_batches(photos, SQUASH, batch_size=5, seed=0, workers=0)
    with pytest.raises(InputError, match="the position in the pictures is damaged"):
        batches.restore(state)


def test_interrupted_batch_is_not_lost(textured):
    def batches():
        return training_batches(textured, RANDOM, batch_size=3, seed=0, workers=0)

    expected, interrupted, resumed = next(batches()), batches(), batches()
    reads = [*map(read_image, textured[:2]), KeyboardInterrupt]
    with (
        mock.patch("nstjax.feedforward.training.data.read_image", side_effect=reads),
        pytest.raises(KeyboardInterrupt),
    ):
        next(interrupted)
    resumed.restore(interrupted.state())
    assert_same(expected, next(resumed))


def test_bad_files_are_skipped_counted_and_told_of_once(photos, caplog):
    photos[1].write_bytes(b"no picture")
    photos[4].write_bytes(photos[0].read_bytes()[:50])
    batches = training_batches(photos, SQUASH, batch_size=5, seed=0)
    with caplog.at_level(logging.WARNING, "nstjax"):
        epochs = [shown(batches, 1) for _ in range(4)]
    assert all(sorted(epoch) == [0, 2, 3, 5, 6] for epoch in epochs)
    assert batches.skipped == {str(photos[1]), str(photos[4])}
    assert len(caplog.messages) == 2
    assert all(message.startswith("skipped: ") for message in caplog.messages)


@pytest.mark.parametrize(
    ("good", "batch_size", "said"), [(0, 1, "of 0 readable"), (2, 3, "of 2 readable")]
)
def test_too_few_readable_photos_end_it(photos, good, batch_size, said):
    for path in photos[good:]:
        path.write_bytes(b"no picture")
    batches = training_batches(photos, SQUASH, batch_size=batch_size, seed=0)
    with pytest.raises(InputError, match=said):
        for _ in range(len(photos)):
            next(batches)


def test_styles_take_turns_over_all_photos(photos):
    batches = training_batches(photos, SQUASH, batch_size=4, seed=0, styles=3)
    pairs = []
    for _ in range(30):
        batch = next(batches)
        numbers = np.rint(255 * batch["content"].mean((1, 2, 3))).astype(int)
        pairs += zip(numbers.tolist(), batch["style"].tolist(), strict=True)
    assert [style for _, style in pairs] == [index % 3 for index in range(120)]
    assert len(Counter(pairs)) == 21


def test_painting_is_the_one_of_the_style(photos):
    levels = np.array([0.2, 0.5, 0.9])
    options = {"styles": 3, "paintings": [flat(level) for level in levels]}
    batches = training_batches(photos, SQUASH, batch_size=6, seed=0, **options)
    for _ in range(3):
        batch = next(batches)
        assert batch["painting"].shape == (6, 16, 16, 3)
        assert batch["painting"].dtype == np.float32
        found = batch["painting"].mean((1, 2, 3))
        np.testing.assert_allclose(found, levels[batch["style"]], rtol=1e-5)


def test_arbitrary_style_draws_any_painting(photos):
    paintings = [flat(level / 8) for level in range(4)]
    options = {"batch_size": 7, "seed": 0, "paintings": paintings}
    batches = training_batches(photos, SQUASH, **options)
    drawn = []
    for _ in range(6):
        batch = next(batches)
        assert batch["style"].tolist() == [0] * 7
        drawn += np.rint(8 * batch["painting"][:, 0, 0, 0]).astype(int).tolist()
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn[:12] != [index % 4 for index in range(12)]


@pytest.mark.parametrize("option", ["recolor", "identity"])
def test_share_of_paintings_with_other_colors_or_that_are_the_photo(photos, option):
    painting = np.full((16, 16, 3), (0.5, 0.4, 0.3), np.float32)
    for share, least, most in ((0, 0, 0), (0.5, 0.2, 0.8), (1, 1, 1)):
        options = {"paintings": [painting], option: share}
        batches = training_batches(photos * 6, SQUASH, batch_size=42, seed=0, **options)
        batch = next(batches)
        crops = batch["painting"]
        other = np.abs(crops - painting[None]).max((1, 2, 3)) > 1e-5
        if option == "identity":
            assert ((crops == batch["content"]).all((1, 2, 3)) == other).all()
        assert least <= other.mean() <= most


def test_squash_keeps_the_whole_picture_and_center_the_middle_square():
    image = np.full((24, 48, 3), 0.25, np.float32)
    image[:, 24:] = 0.75
    squashed = square_crop(image, SQUASH)
    assert squashed.shape == (16, 16, 3)
    np.testing.assert_allclose(squashed[:, :7], 0.25)
    np.testing.assert_allclose(squashed[:, 9:], 0.75)
    image = np.random.default_rng(0).random((48, 32, 3))
    for picture, middle in (
        (image, image[8:40]),
        (image.swapaxes(0, 1), image[8:40].swapaxes(0, 1)),
    ):
        found = square_crop(picture, CropRule("center", 16))
        np.testing.assert_array_equal(found, square_crop(middle, SQUASH))


def ramp(height, width):
    """A picture whose first two channels are its pixels' row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.float32) / 128


def squares(image, crop):
    """Scale (pixels of the image per pixel), middle and mirroring of random cuts."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(200):
        # Far from the border, where the filter is cut off.
        inner = 128 * square_crop(image, crop, random)[3:-3, 3:-3]
        rows, columns = inner[:, :, 0].mean(1), inner[:, :, 1].mean(0)
        down, across = np.diff(rows).mean(), np.diff(columns).mean()
        np.testing.assert_allclose(abs(across), down, atol=0.02)
        found.append((down, rows.mean(), columns.mean(), across < 0))
    return np.array(found).T


def test_random_squares_are_of_all_places_and_scales_half_of_them_mirrored():
    scale, row, column, mirrored = squares(ramp(72, 120), CropRule("random", 24))
    # The shorter side, 72, becomes 24 to 48 pixels.
    assert 1.45 < scale.min() < 1.6
    assert 2.8 < scale.max() < 3.05
    for place, length in ((row, 72), (column, 120)):
        first, last = place + 0.5 - 12 * scale, place + 0.5 + 12 * scale
        assert -0.5 < first.min() < 2
        assert length - 2 < last.max() < length + 0.5
    assert 0.4 < mirrored.mean() < 0.6


def test_random_enlarges_no_more_than_needed():
    # Resized to 32 pixels at most, which is what there is, and not to 2·24.
    scale, *_ = squares(ramp(32, 60), CropRule("random", 24))
    assert 0.99 < scale.min() < 1.02
    assert 1.3 < scale.max() < 1.35
    # A shorter side below the size is taken whole.
    small, random = ramp(8, 8), np.random.default_rng(0)
    whole = square_crop(small, CropRule("squash", 12))
    found = square_crop(small, CropRule("random", 12), random)
    assert np.array_equal(found, whole) or np.array_equal(found[:, ::-1], whole)


def test_recolored_changes_brightness_then_saturation_then_hue():
    colors = np.array([[(0.5, 0.4, 0.3), (0.2, 0.7, 0.6)]], np.float32)
    found = recolored(colors, np.random.default_rng(7))
    random = np.random.default_rng(7)
    brightness = random.uniform(-0.8, 0.8)
    saturation_factor, turn = random.uniform(0.5, 1.5), random.uniform(-0.2, 0.2)
    for color, result in zip(colors[0], found[0], strict=True):
        brighter = [min(max(float(part) + brightness, 0), 1) for part in color]
        hue, saturation, value = colorsys.rgb_to_hsv(*brighter)
        saturation = min(saturation * saturation_factor, 1)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        np.testing.assert_allclose(result, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_picture_files_are_sorted_and_from_folders_within(tmp_path):
    (tmp_path / "within").mkdir()
    (tmp_path / "folder.png").mkdir()
    for name in ("b.JPG", "a.webp", "within/c.Tiff", "within/d.jpeg", "e.txt"):
        (tmp_path / name).touch()
    names = [str(path.relative_to(tmp_path)) for path in picture_files(tmp_path)]
    assert names == ["a.webp", "b.JPG", "within/c.Tiff", "within/d.jpeg"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"batch_size": 8}, "training set of 7 .* smaller than a batch of 8: "),
        ({"batch_size": 0}, "batch size"),
        ({"seed": -1}, "seed must lie in 0..4294967295, got -1"),
        ({"recolor": 1.5}, "identity must lie in 0..1, got 1.5 and 0.0"),
        ({"identity": np.nan}, "identity must lie in 0..1, got 0.0 and nan"),
        (
            {"styles": 3, "paintings": [flat(0.5)] * 2},
            "2 paintings for 3 styles: give one for each style",
        ),
    ],
)
def test_wrong_arguments_are_one_line_errors(photos, wrong, said):
    with pytest.raises(InputError, match=said):
        training_batches(photos, SQUASH, **{"batch_size": 2, "seed": 0, **wrong})


def test_without_grain_the_extra_is_named(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(InputError, match=r"pip install 'nstjax\[train\]'"):
        training_batches(photos, SQUASH, batch_size=2, seed=0)
