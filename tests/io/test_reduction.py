"""Pictures far larger than they are used are decoded smaller; others as they were."""

import numpy as np
import pytest
import tifffile
from image_files import NOISE, png, refused, save_raw, smooth
from PIL import Image

from nstjax.errors import InputError
from nstjax.io import formats, images, reduction
from nstjax.io.images import picture_problem, read_colors, read_image


@pytest.fixture
def small_limits(monkeypatch):
    """As if pictures of some thousand pixels had many millions."""
    monkeypatch.setattr(reduction, "REDUCE_ABOVE", 10_000)
    monkeypatch.setattr(reduction, "MAX_PIXELS", 40_000)
    monkeypatch.setattr(images, "MAX_PIXELS", 40_000)
    monkeypatch.setattr(reduction, "STRIP", 3_000)


def used(height, width):
    return lambda *_: (height, width)


def test_ordinary_pictures_are_decoded_whole(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.uint8(smooth(600, 800) * 255)).save(path)
    np.testing.assert_array_equal(read_image(path, used(6, 8)), read_image(path))


SOURCE = smooth(120, 201)
# What is used, and what of the source is left: twice of it at least.
USED = {(15, 25): 4, (16, 25): 2, (15, 26): 2, (30, 50): 2, (31, 50): 1, (120, 201): 1}


@pytest.mark.parametrize(("size", "factor"), [*USED.items(), ((1, 1), 64)])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_large_pictures_are_averaged(tmp_path, small_limits, suffix, size, factor):
    path = tmp_path / f"photo.{suffix}"
    picture = Image.fromarray(np.uint8(SOURCE * 255))
    picture.save(path, quality=95)
    read = read_image(path, used(*size))
    expected = np.asarray(picture.reduce(factor)) / 255
    assert read.shape == expected.shape
    assert np.abs(read - expected).mean() < 0.02


def test_the_upright_size_counts(tmp_path, small_limits):
    turned = np.rot90(np.uint8(SOURCE * 255)).copy()
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("png", "jpg", "tif"):
        path = tmp_path / f"turned.{suffix}"
        Image.fromarray(turned).save(path, exif=exif, quality=95)
        read = read_image(path, lambda *size: {(120, 201): (30, 40)}[size])
        assert read.shape == (60, 101, 3)


def test_what_is_too_large_to_hold_is_left_as_large_as_it_is_used(
    tmp_path, small_limits
):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.uint8(smooth(200, 300) * 255)).save(path)
    assert read_image(path, used(100, 150)).shape == (100, 150, 3)
    with pytest.raises(InputError, match=r"photo.jpg has more than 0 million pixels"):
        read_image(path, used(101, 150))
    assert "pixels" in refused(path)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB", "HSV"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_averaged(small_limits, mode):
    grey = np.uint8(np.add.outer(np.arange(120), np.arange(200)) * 0.79)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(grey.astype({"I": "i4", "F": "f4"}[mode]))
    elif mode in ("LAB", "HSV"):
        image = Image.merge(mode, [Image.fromarray(grey)] * 3)
    else:
        image = Image.fromarray(np.dstack([grey] * 3)).convert(mode)
    whole = read_image(image).mean(axis=2)
    read = read_image(image, used(15, 25)).mean(axis=2)
    expected = whole.reshape(30, 4, 50, 4).mean(axis=(1, 3))
    assert np.abs(read - expected).mean() < 0.01


def test_transparent_colors_do_not_mix_in(tmp_path, small_limits):
    pixels = np.zeros((120, 200, 4), np.uint8)
    pixels[:, :] = 255, 0, 0, 0
    pixels[:, :102] = 0, 200, 0, 255
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    color, alpha = read_colors(tmp_path / "rgba.png", used(15, 25))
    np.testing.assert_allclose(color[:, 25] * 255, [[0, 200, 0]] * 30, atol=2)
    np.testing.assert_allclose(alpha[0, 24:27], [1, 0.5, 0], atol=0.01)

    palette = Image.fromarray(pixels[:, :, 3] // 255).convert("P")
    palette.putpalette([255, 0, 0, 0, 200, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    color, alpha = read_colors(tmp_path / "p.png", used(15, 25))
    np.testing.assert_allclose(color[:, 25] * 255, [[0, 200, 0]] * 30, atol=2)

    levels = np.repeat(np.uint16([[40000] * 102 + [7] * 98]), 120, axis=0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    (tmp_path / "deep.png").write_bytes(png(200, 120, 16, 0, rows, b"\0\7"))
    color, alpha = read_colors(tmp_path / "deep.png", used(15, 25))
    np.testing.assert_allclose(color[:, 25], 40000 / 65535, atol=0.01)
    np.testing.assert_allclose(alpha[0, 24:27], [1, 0.5, 0], atol=0.01)


def test_masks_keep_their_colors(tmp_path, small_limits):
    Image.fromarray(np.tile(NOISE, (8, 8, 1))).save(tmp_path / "map.png")
    color, _ = read_colors(tmp_path / "map.png", used(10, 20), average=False)
    assert color.shape == (40, 60, 3)
    found = {tuple(pixel) for pixel in np.rint(color * 255).reshape(-1, 3).astype(int)}
    assert found <= {tuple(pixel) for pixel in NOISE.reshape(-1, 3).astype(int)}


def test_a_jpeg_beyond_pillows_limit_is_decoded_smaller(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.uint8(smooth(200, 300) * 255)).save(path)
    Image.fromarray(np.uint8(smooth(200, 300) * 255)).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    monkeypatch.setattr(reduction, "REDUCE_ABOVE", 10_000)
    assert picture_problem(path) is None
    assert read_image(path, used(20, 30)).shape == (50, 75, 3)
    assert "178 million" in refused(tmp_path / "photo.png")
    monkeypatch.setattr(images, "MAX_JPEG_PIXELS", 50_000)
    assert "more than 0 million" in refused(path)


def test_decoders_do_not_write_to_stderr(tmp_path, capfd):
    path = tmp_path / "damaged.tif"
    Image.fromarray(np.uint8(smooth() * 255)).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[40:80] = bytes(range(200, 240))
    path.write_bytes(content)
    with Image.open(path) as image, pytest.raises(OSError):
        image.load()
    assert capfd.readouterr().err
    refused(path)
    assert not capfd.readouterr().err
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((20, 20, 9), np.uint8), photometric="minisblack")
    refused(path)
    assert not capfd.readouterr().err


def test_without_stderr_pictures_are_read(tmp_path, monkeypatch):
    Image.fromarray(NOISE).save(tmp_path / "photo.tif")
    monkeypatch.setattr(reduction.os, "dup", lambda _: reduction.os.close(-1))
    read = read_image(tmp_path / "photo.tif")
    np.testing.assert_array_equal(read, np.float32(NOISE / 255))


def test_raw_files_are_developed_at_half_the_size(tmp_path, small_limits, monkeypatch):
    pytest.importorskip("rawpy")
    save_raw(tmp_path / "photo.dng")
    monkeypatch.setattr(reduction, "REDUCE_ABOVE", 1_000)
    asked = []
    draft = formats.RawImageFile.draft
    monkeypatch.setattr(
        formats.RawImageFile,
        "draft",
        lambda image, *given: (asked.append(given), draft(image, *given)),
    )
    assert read_image(tmp_path / "photo.dng", used(8, 12)).shape == (16, 24, 3)
    assert asked == [(None, (24, 16))]
