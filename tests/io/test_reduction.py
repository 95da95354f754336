"""Pictures far larger than they are used are decoded smaller; others as they were."""

from unittest import mock

import numpy as np
import pytest
import tifffile
from image_files import NOISE, png, refused, save_raw, smooth
from PIL import Image

from nstjax.errors import InputError
from nstjax.io import formats, images, reduction
from nstjax.io.images import check_picture, read_colors, read_image


@pytest.fixture
def small_limits(monkeypatch):
    """As if pictures of some thousand pixels had many millions."""
    monkeypatch.setattr(reduction, "REDUCE_ABOVE", 10_000)
    monkeypatch.setattr(reduction, "MAX_PIXELS", 40_000)
    monkeypatch.setattr(images, "MAX_PIXELS", 40_000)
    monkeypatch.setattr(reduction, "STRIP", 3_000)


def used(height, width):
    return lambda *_: (height, width)


def saved(path, values, **options):
    image = Image.fromarray(np.uint8(values * 255))
    image.save(path, **options)
    return image


def test_ordinary_pictures_are_decoded_whole(tmp_path):
    saved(tmp_path / "photo.jpg", smooth(600, 800))
    assert read_image(tmp_path / "photo.jpg", used(6, 8)).shape == (600, 800, 3)


SOURCE = smooth(120, 201)
# What is used, and what of the source is left: twice of it at least.
USED = {(15, 25): 4, (16, 25): 2, (15, 26): 2, (31, 50): 1, (120, 201): 1, (1, 1): 64}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_large_pictures_are_averaged(tmp_path, small_limits, suffix):
    path = tmp_path / f"photo.{suffix}"
    picture = saved(path, SOURCE, quality=95)
    for size, factor in USED.items():
        read = read_image(path, used(*size))
        expected = np.asarray(picture.reduce(factor)) / 255
        assert read.shape == expected.shape
        assert np.abs(read - expected).mean() < 0.02


def test_the_upright_size_counts(tmp_path, small_limits):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("png", "jpg", "tif"):
        path = tmp_path / f"turned.{suffix}"
        saved(path, np.rot90(SOURCE), exif=exif, quality=95)
        read = read_image(path, lambda *size: {(120, 201): (30, 40)}[size])
        assert read.shape == (60, 101, 3)


def test_what_is_too_large_to_hold_is_as_large_as_it_is_used(tmp_path, small_limits):
    path = tmp_path / "photo.jpg"
    saved(path, smooth(200, 300))
    assert read_image(path, used(100, 150)).shape == (100, 150, 3)
    with pytest.raises(InputError, match=r"photo.jpg has more than 0 million pixels"):
        read_image(path, used(101, 150))
    assert "pixels" in refused(path)


def test_every_mode_is_averaged(small_limits):
    grey = np.uint8(np.add.outer(np.arange(120), np.arange(200)) * 0.79)
    colors = Image.fromarray(np.dstack([grey] * 3))
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")
    images = [colors.convert(mode) for mode in modes]
    images += [Image.merge(mode, colors.split()) for mode in ("LAB", "HSV")]
    deep = (np.uint16(grey) * 257, np.int32(grey), np.float32(grey))
    for image in (*images, *map(Image.fromarray, deep)):
        whole = read_image(image).mean(axis=2)
        read = read_image(image, used(15, 25)).mean(axis=2)
        expected = whole.reshape(30, 4, 50, 4).mean(axis=(1, 3))
        assert np.abs(read - expected).mean() < 0.01, image.mode


def test_transparent_colors_do_not_mix_in(tmp_path, small_limits):
    opaque = np.arange(200) < 102
    index = np.uint8([opaque] * 120)
    colors = np.uint8([[255, 0, 0, 0], [0, 200, 0, 255]])
    Image.fromarray(colors[index]).save(tmp_path / "rgba.png")
    palette = Image.fromarray(index).convert("P")
    palette.putpalette(colors[:, :3].ravel().tolist())
    palette.save(tmp_path / "p.png", transparency=0)
    row = b"\0" + np.where(opaque, 40000, 7).astype(">u2").tobytes()
    (tmp_path / "deep.png").write_bytes(png(200, 120, 16, 0, 120 * row, b"\0\7"))
    green, grey = [0, 200 / 255, 0], [40000 / 65535] * 3
    for name, expected in {"rgba": green, "p": green, "deep": grey}.items():
        color, alpha = read_colors(tmp_path / f"{name}.png", used(15, 25))
        np.testing.assert_allclose(color[:, 25], [expected] * 30, atol=0.01)
        np.testing.assert_allclose(alpha[0, 24:27], [1, 0.5, 0], atol=0.01)


def test_masks_keep_their_colors(tmp_path, small_limits):
    Image.fromarray(np.tile(NOISE, (8, 8, 1))).save(tmp_path / "map.png")
    color, _ = read_colors(tmp_path / "map.png", used(10, 20), average=False)
    assert color.shape == (40, 60, 3)
    found = {tuple(pixel) for pixel in np.rint(color * 255).reshape(-1, 3).astype(int)}
    assert found <= {tuple(pixel) for pixel in NOISE.reshape(-1, 3).astype(int)}


def test_a_jpeg_beyond_pillows_limit_is_decoded_smaller(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    saved(path, smooth(200, 300)).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    monkeypatch.setattr(reduction, "REDUCE_ABOVE", 10_000)
    check_picture(path)
    assert read_image(path, used(20, 30)).shape == (50, 75, 3)
    assert "178 million" in refused(tmp_path / "photo.png")
    monkeypatch.setattr(images, "MAX_JPEG_PIXELS", 50_000)
    assert "more than 0 million" in refused(path)


def test_decoders_do_not_write_to_stderr(tmp_path, capfd):
    path = tmp_path / "damaged.tif"
    saved(path, smooth(), compression="tiff_lzw")
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
    draft = mock.Mock(wraps=formats.RawImageFile.draft)
    monkeypatch.setattr(formats.RawImageFile, "draft", lambda *given: draft(*given))
    assert read_image(tmp_path / "photo.dng", used(8, 12)).shape == (16, 24, 3)
    assert draft.call_args.args[1:] == (None, (24, 16))
