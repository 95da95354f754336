import numpy as np
import pytest

from nstjax.errors import InputError
from nstjax.images.contact_sheet import contact_sheet, montage

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


def flat(height, width, color):
    return np.full((height, width, 3), color, np.float32)


def test_montage_lays_pictures_side_by_side_as_high_as_the_tallest():
    first = np.random.default_rng(0).random((40, 30, 3), dtype=np.float32)
    given = first.copy()
    pictures = [first, flat(20, 30, RED), flat(10, 20, BLUE)]
    row = montage(pictures, gap=4, background=0.5)
    assert (row.shape, row.dtype) == ((40, 30 + 4 + 60 + 4 + 80, 3), np.float32)
    np.testing.assert_array_equal(first, given)
    np.testing.assert_array_equal(row[:, :30], first)
    np.testing.assert_array_equal(row[:, 30:34], 0.5)
    np.testing.assert_allclose(row[:, 34:94] - RED, 0, atol=1e-6)
    np.testing.assert_allclose(row[:, 98:] - BLUE, 0, atol=1e-6)
    assert (montage(pictures, gap=6)[:, 30:36] == 1).all()
    assert (montage(pictures, background=(1, 0, 0))[:, 30:46] == RED).all()


def test_contact_sheet_places_each_image_in_the_middle_of_its_cell():
    images = [flat(64, 64, RED), flat(32, 64, GREEN), flat(200, 50, BLUE)]
    sheet = contact_sheet(images, columns=2, cell=64)
    gap = 4
    assert sheet.shape == (2 * 64 + 3 * gap, 2 * 64 + 3 * gap, 3)
    np.testing.assert_array_equal(sheet[gap : gap + 64, gap : gap + 64] - RED, 0)
    right = sheet[gap : gap + 64, 2 * gap + 64 : 2 * gap + 128]
    np.testing.assert_array_equal(right[16:48] - GREEN, 0)
    assert (right[:16] == 1).all() and (right[48:] == 1).all()
    below = sheet[2 * gap + 64 : 2 * gap + 128, gap : gap + 64]
    np.testing.assert_allclose(below[:, 24:40] - BLUE, 0, atol=1e-6)
    assert (below[:, :24] == 1).all() and (below[:, 40:] == 1).all()
    assert (sheet[2 * gap + 64 :, 2 * gap + 64 :] == 1).all()


@pytest.mark.parametrize(
    ("count", "columns", "expected"),
    [(1, None, 1), (4, None, 2), (5, None, 3), (6, 6, 6), (2, 9, 2)],
)
def test_contact_sheet_columns(count, columns, expected):
    sheet = contact_sheet([flat(32, 32, RED)] * count, columns=columns, cell=32)
    assert sheet.shape[1] == expected * 36 + 4


def test_captions_are_drawn_below_their_own_image_only():
    images = [flat(64, 64, 0.5)] * 2
    bare = contact_sheet(images, columns=2, cell=64)
    top, line = 4 + 64, 12 * 3 // 2
    for caption, lines in {"first": 1, "W" * 200: 1, "a\nb": 2}.items():
        sheet = contact_sheet(images, [caption, ""], columns=2, cell=64)
        assert sheet.shape[0] == bare.shape[0] + lines * line
        np.testing.assert_array_equal(sheet[:top], bare[:top])
        for number in range(lines):
            band = sheet[top + number * line : top + (number + 1) * line]
            assert band[:, 4:68].min() < 0.3
            # Beside its cell there is nothing.
            assert (band[:, :4] == 1).all() and (band[:, 68:] == 1).all()
        assert (sheet[-4:] == 1).all()


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "no images"),
        ([flat(20, 20, 0)], {"labels": ["a", "b"]}, "2 labels for 1 images"),
        ([flat(20, 20, 0)], {"columns": 0}, "0 columns"),
    ],
)
def test_wrong_arguments_are_refused(images, options, message):
    with pytest.raises(InputError, match=message):
        contact_sheet(images, **options)
    if not images:
        with pytest.raises(InputError, match=message):
            montage(images)
