"""Pictures of every mode, orientation and depth become sRGB on white."""

import struct

import numpy as np
import pytest
from image_files import NOISE, png, refused, smooth
from PIL import Image

from nstjax.io.images import read_image

# What is seen, as a phone with each EXIF orientation stores it.
ORIENTED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def stored(path, image, **options):
    """What is read of a picture that is saved there."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return read_image(path)


def oriented(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied(tmp_path, suffix):
    for orientation, turn in ORIENTED.items():
        turned = np.ascontiguousarray(turn(np.uint8(smooth() * 255)))
        exif = oriented(orientation)
        read = stored(tmp_path / f"turned.{suffix}", turned, exif=exif, quality=95)
        assert read.shape == (24, 36, 3)
        assert np.abs(read - smooth()).mean() < 0.03, orientation


def test_orientation_of_16_bit_grey_is_applied(tmp_path):
    levels = (np.arange(20 * 30).reshape(20, 30) * 109).astype(np.uint16)
    read = stored(tmp_path / "a.png", np.rot90(levels).copy(), exif=oriented(6))
    np.testing.assert_array_equal(read[:, :, 1], np.float32(levels / 65535))


@pytest.mark.parametrize(
    ("exif", "told"), [(b"II*\0\x08\0\0\0\xff\xff\x12\x01", 0), (b"XX", 1)]
)
def test_broken_exif_is_ignored(tmp_path, caplog, exif, told):
    read = stored(tmp_path / "broken.png", NOISE, exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(read, np.float32(NOISE / 255))
    assert caplog.text.count("broken.png: its EXIF data are broken (") == told


def test_transparency_is_composited_on_white(tmp_path):
    rgba = np.dstack([NOISE, np.arange(600).reshape(20, 30) % 256]).astype(np.uint8)
    rgba[0, :3] = (255, 0, 0, 0), (255, 0, 0, 255), (100, 0, 200, 51)
    read = stored(tmp_path / "rgba.png", rgba)
    mixed = [0.8 + 0.2 * 100 / 255, 0.8, 0.8 + 0.2 * 200 / 255]
    np.testing.assert_allclose(read[0, :3], [[1, 1, 1], [1, 0, 0], mixed], atol=1e-6)
    np.testing.assert_array_equal(read_image(rgba), read)
    straight = Image.new("RGBA", (20, 20), (200, 200, 200, 128))
    for mode in ("LA", "La", "RGBa"):
        image = straight.convert("LA") if mode == "La" else straight
        expected = (255 - 128 + 128 * 200 / 255) / 255
        np.testing.assert_allclose(
            read_image(image.convert(mode)), expected, atol=1 / 255
        )


def test_palettes_grey_and_one_bit(tmp_path):
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((5, 5), 1)
    path = tmp_path / "p.png"
    for options, other in (
        ({}, [200, 0, 0]),
        ({"transparency": 1}, [255] * 3),
        ({"transparency": bytes([255, 0])}, [255] * 3),
    ):
        read = stored(path, image, **options) * 255
        np.testing.assert_allclose(read[0, 0], [10, 20, 30], atol=1e-4)
        np.testing.assert_allclose(read[5, 5], other, atol=1e-4)
    grey = np.float32(NOISE[:, :, :1].repeat(3, axis=2) / 255)
    np.testing.assert_array_equal(stored(path, NOISE[:, :, 0]), grey)
    bits = NOISE[:, :, 0] > 100
    np.testing.assert_array_equal(stored(path, bits)[:, :, 2], bits)


@pytest.mark.parametrize(
    ("mode", "red", "suffix", "atol"),
    [
        ("CMYK", (0, 255, 255, 0), "jpg", 0.02),
        ("CMYK", (0, 255, 255, 0), "tif", 0.02),
        # sRGB red is L* 54.29, a* 80.81, b* 69.89 under the D50 of profiles.
        ("LAB", (138, 128 + 81, 128 + 70), "tif", 0.03),
    ],
)
def test_other_color_spaces(tmp_path, mode, red, suffix, atol):
    read = stored(tmp_path / f"red.{suffix}", Image.new(mode, (20, 20), red))
    np.testing.assert_allclose(read[5, 5], [1, 0, 0], atol=atol)


LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)
EXACT = np.float32(LEVELS / 65535)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_exact(tmp_path, suffix):
    read = stored(tmp_path / f"deep.{suffix}", LEVELS)
    np.testing.assert_array_equal(read, np.dstack([EXACT] * 3))


def test_deep_modes_are_exact():
    for mode, kind in {"I;16": "<u2", "I;16B": ">u2", "I": "=i4"}.items():
        image = Image.frombytes(mode, (256, 256), LEVELS.astype(kind).tobytes())
        np.testing.assert_array_equal(read_image(image)[:, :, 0], EXACT)
    for white in (1, 255, 65535):
        read = read_image(Image.fromarray(EXACT * np.float32(white)))
        np.testing.assert_allclose(read[:, :, 0], EXACT, rtol=1e-6)


def test_float_grey_without_a_known_range_is_refused():
    for value in (-0.5, np.nan, np.inf, 1e6):
        values = EXACT.copy()
        values[3, 4] = value
        assert "grey values" in refused(Image.fromarray(values))


def test_16_bit_color_png_is_right_to_8_bits(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    (tmp_path / "deep.png").write_bytes(png(30, 20, 16, 2, rows))
    read = read_image(tmp_path / "deep.png")
    np.testing.assert_allclose(read, levels / 65535, atol=1 / 255)


def test_16_bit_grey_with_a_transparent_level(tmp_path):
    levels = np.arange(1000, 1020)
    rows = b"".join(b"\0" + np.full(20, level, ">u2").tobytes() for level in levels)
    transparent = struct.pack(">H", 1003)
    (tmp_path / "deep.png").write_bytes(png(20, 20, 16, 0, rows, transparent))
    column = read_image(tmp_path / "deep.png")[:, 7, 1]
    expected = np.where(levels == 1003, 65535, levels)
    np.testing.assert_allclose(column * 65535, expected, atol=0.01)
