"""Transparent parts of a photo: put on white, or kept in the result."""

import numpy as np
import pytest
from command_lines import ONE, RUN, painted
from image_files import NOISE, smooth
from PIL import Image

import nstjax
from nstjax.errors import InputError
from nstjax.io.images import read_image, write_image
from nstjax.io.transparency import fill_holes, fit_alpha, read_on_white, read_photo

ALPHA = np.ones((24, 36), np.float32)
ALPHA[6:18, 10:30] = 0
ALPHA[5, 10:30] = 0.6


def with_hole(path, under=(255, 255, 255)):
    pixels = np.dstack([smooth(), ALPHA])
    pixels[ALPHA == 0, :3] = np.array(under) / 255
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(path)


def test_a_hole_is_filled_from_around_it():
    for under in (0, 0.5, 1):
        holed = np.where(ALPHA[:, :, None] == 0, np.float32(under), smooth())
        filled = fill_holes(holed, ALPHA)
        assert filled.dtype == np.float32
        np.testing.assert_array_equal(filled[ALPHA == 1], smooth()[ALPHA == 1])
        # Even in the middle of the hole it is much like what was there.
        assert np.abs(filled - smooth()).max() < 0.25
    np.testing.assert_array_equal(fill_holes(smooth(), np.ones((24, 36))), smooth())
    # One opaque pixel fills everything.
    for shape in ((16, 16), (17, 40), (31, 1), (1, 2)):
        color = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
        alpha = np.zeros(shape, np.float32)
        alpha[-1, 0] = 0.5
        np.testing.assert_allclose(fill_holes(color, alpha) - color[-1, 0], 0)


def test_a_photo_is_put_on_white_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "photo.png"
    with_hole(path, under=(0, 0, 0))
    photo, alpha = read_photo(path)
    assert alpha is None
    np.testing.assert_array_equal(photo, read_image(path))
    assert photo[12, 20].min() == 1
    np.testing.assert_array_equal(read_on_white(path), photo)
    Image.fromarray(NOISE).convert("RGBA").save(path)
    assert read_photo(path)[1] is None
    says = f"{path} is transparent in parts, which are put on white"
    advice = ": --transparency=keep keeps them transparent"
    assert caplog.messages == [f"{says}{advice}", says]


def test_transparency_is_kept(tmp_path, caplog):
    caplog.set_level("INFO")
    with_hole(tmp_path / "photo.png")
    photo, alpha = read_photo(tmp_path / "photo.png", "keep")
    np.testing.assert_allclose(alpha, ALPHA, atol=1e-6)
    assert np.abs(photo - smooth()).max() < 0.25
    assert not caplog.messages
    Image.new("RGBA", (20, 20)).save(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"none.png is transparent everywhere"):
        read_photo(tmp_path / "none.png", "keep")


def test_transparency_is_written_at_the_results_size(tmp_path):
    assert fit_alpha(None, smooth()) is None
    result = smooth(48, 72)
    alpha = fit_alpha(ALPHA, result)
    np.testing.assert_allclose(alpha.mean(), ALPHA.mean(), atol=1e-3)
    for suffix in ("png", "webp", "tif"):
        path = tmp_path / f"out.{suffix}"
        write_image(path, result, 95, alpha)
        with Image.open(path) as stored:
            assert stored.mode == "RGBA"
            found = np.asarray(stored)[:, :, 3]
        np.testing.assert_array_equal(found, np.rint(alpha * 255))


def test_a_run_keeps_transparency(studio, command):
    photo = nstjax.read_image("photo.png")
    alpha = np.ones(photo.shape[:2], np.float32)
    alpha[16:32, 20:44] = 0
    write_image("photo.png", photo, alpha=alpha)
    painted(command, *ONE, "--transparency=keep", "--montage")
    with Image.open("out.png") as result:
        result_alpha = np.asarray(result)[:, :, 3] / 255
    expected = nstjax.resize(alpha, 36, 48, "bilinear")
    np.testing.assert_allclose(result_alpha, expected, atol=1 / 255)
    # The montage shows photo and result on white, each 48 wide after a gap of 16.
    montage = nstjax.read_image("out_montage.png")
    for left in (0, 64):
        assert montage[14:22, left + 18 : left + 30].min() > 0.99
    status, _, err = command(*RUN, "--output=out.jpg", "--transparency=keep")
    assert status == 2
    assert "out.jpg would be a JPEG" in err
    status, _, err = command(*ONE, "--output=flat.png")
    assert status == 0
    assert err.startswith("nstjax: note: photo.png is transparent in parts")
    with Image.open("flat.png") as result:
        assert result.mode == "RGB"
