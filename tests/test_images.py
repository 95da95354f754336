import errno
import logging
import os
import resource
import stat
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.io.images import check_output, read_image, write_image

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def smooth(height=24, width=36):
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [y / (height - 1), x / (width - 1), (y + x) / (height + width - 2)], axis=-1
    ).astype(np.float32)


def refused(source):
    with pytest.raises(InputError) as caught:
        read_image(source)
    message = str(caught.value)
    assert "\n" not in message
    if not isinstance(source, (np.ndarray, Image.Image)):
        assert str(source) in message
    return message


# --- what Pillow reads -----------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm"])
def test_lossless_formats_are_exact(tmp_path, suffix):
    path = tmp_path / f"noise.{suffix}"
    Image.fromarray(NOISE).save(path)
    read = read_image(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, NOISE.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(read_image(str(path)), read)
    np.testing.assert_array_equal(read_image(Image.fromarray(NOISE)), read)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "gif"])
def test_lossy_formats_are_close(tmp_path, suffix):
    path = tmp_path / f"smooth.{suffix}"
    Image.fromarray(np.uint8(smooth() * 255)).save(path, quality=95)
    assert np.abs(read_image(path) - smooth()).mean() < 0.03


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"turned.{suffix}"
    upright = np.uint8(smooth() * 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(ORIENTED[orientation](upright))
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    read = read_image(path)
    assert read.shape == (24, 36, 3)
    assert np.abs(read - smooth()).mean() < 0.03


def test_orientation_of_16_bit_grey_is_applied(tmp_path):
    levels = (np.arange(20 * 30).reshape(20, 30) * 109).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(levels).copy()).save(tmp_path / "a.png", exif=exif)
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read[:, :, 1], np.float32(levels / 65535))


def test_broken_exif_is_ignored(tmp_path):
    path = tmp_path / "broken.png"
    Image.fromarray(NOISE).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    np.testing.assert_array_equal(read_image(path), np.float32(NOISE / 255))


def test_transparency_is_composited_on_white(tmp_path):
    rgba = np.dstack([NOISE, np.arange(600).reshape(20, 30) % 256]).astype(np.uint8)
    rgba[0, 0] = 255, 0, 0, 0
    rgba[0, 1] = 255, 0, 0, 255
    rgba[0, 2] = 100, 0, 200, 51
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    read = read_image(tmp_path / "rgba.png")
    np.testing.assert_allclose(read[0, 0], [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(read[0, 1], [1, 0, 0], atol=1e-6)
    expected = [0.8 + 0.2 * 100 / 255, 0.8, 0.8 + 0.2 * 200 / 255]
    np.testing.assert_allclose(read[0, 2], expected, atol=1e-6)
    np.testing.assert_array_equal(read_image(rgba), read)


def test_grey_with_alpha_is_composited_on_white(tmp_path):
    Image.new("LA", (20, 20), (100, 51)).save(tmp_path / "la.png")
    expected = 0.8 + 0.2 * 100 / 255
    np.testing.assert_allclose(read_image(tmp_path / "la.png"), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha_is_composited_on_white(mode):
    straight = Image.new({"La": "LA", "RGBa": "RGBA"}[mode], (20, 20))
    straight.paste((200, 128) if mode == "La" else (200, 200, 200, 128), (0, 0, 20, 20))
    expected = (255 - 128 + 128 * 200 / 255) / 255
    read = read_image(straight.convert(mode))
    np.testing.assert_allclose(read, expected, atol=1 / 255)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_palette_with_transparency(tmp_path, transparency):
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putpixel((5, 5), 1)
    image.save(tmp_path / "p.png", transparency=transparency)
    read = read_image(tmp_path / "p.png")
    np.testing.assert_allclose(read[0, 0] * 255, [10, 20, 30], atol=1e-4)
    np.testing.assert_allclose(read[5, 5], 1, atol=1e-6)


def test_palette_grey_and_one_bit(tmp_path):
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([10, 20, 30, 200, 0, 50])
    palette.save(tmp_path / "p.png")
    read = read_image(tmp_path / "p.png")
    np.testing.assert_allclose(read[3, 3] * 255, [200, 0, 50], atol=1e-4)

    Image.fromarray(NOISE[:, :, 0]).save(tmp_path / "l.png")
    grey = np.float32(NOISE[:, :, :1].repeat(3, axis=2) / 255)
    np.testing.assert_array_equal(read_image(tmp_path / "l.png"), grey)

    bits = NOISE[:, :, 0] > 100
    Image.fromarray(bits).save(tmp_path / "1.png")
    np.testing.assert_array_equal(read_image(tmp_path / "1.png")[:, :, 2], bits)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / f"red.{suffix}")
    read = read_image(tmp_path / f"red.{suffix}")
    np.testing.assert_allclose(read[5, 5], [1, 0, 0], atol=0.02)


def test_lab(tmp_path):
    # sRGB red is L* 54.29, a* 80.81, b* 69.89 under the D50 of profiles.
    Image.new("LAB", (20, 20), (138, 128 + 81, 128 + 70)).save(tmp_path / "lab.tif")
    np.testing.assert_allclose(
        read_image(tmp_path / "lab.tif")[5, 5], [1, 0, 0], atol=0.03
    )


# --- 16 bits -----------------------------------------------------------------------

LEVELS = np.arange(65536, dtype=np.uint16).reshape(256, 256)
EXACT = np.float32(LEVELS / 65535)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_grey_is_exact(tmp_path, suffix):
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(LEVELS).save(path)
    read = read_image(path)
    for channel in range(3):
        np.testing.assert_array_equal(read[:, :, channel], EXACT)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_16_bit_modes_are_exact(mode):
    data = LEVELS.astype({"I;16": "<u2", "I;16B": ">u2", "I": "=i4"}[mode]).tobytes()
    image = Image.frombytes(mode, (256, 256), data)
    np.testing.assert_array_equal(read_image(image)[:, :, 0], EXACT)


def test_big_endian_tiff(tmp_path):
    image = Image.frombytes("I;16B", (256, 256), LEVELS.astype(">u2").tobytes())
    image.save(tmp_path / "deep.tif")
    with Image.open(tmp_path / "deep.tif") as stored:
        assert stored.mode == "I;16B"
    np.testing.assert_array_equal(
        read_image(tmp_path / "deep.tif")[:, :, 0], np.float32(LEVELS / 65535)
    )


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_float_grey(tmp_path, white):
    Image.fromarray(EXACT * np.float32(white)).save(tmp_path / "float.tif")
    read = read_image(tmp_path / "float.tif")
    np.testing.assert_allclose(read[:, :, 0], EXACT, rtol=1e-6)


@pytest.mark.parametrize("value", [-0.5, np.nan, np.inf, 1e6])
def test_float_grey_without_a_known_range_is_refused(tmp_path, value):
    values = EXACT.copy()
    values[3, 4] = value
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert "grey values" in refused(tmp_path / "float.tif")


def png(width, height, depth, color, data, transparent=b""):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def test_16_bit_color_png_is_right_to_8_bits(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    (tmp_path / "deep.png").write_bytes(png(30, 20, 16, 2, rows))
    read = read_image(tmp_path / "deep.png")
    np.testing.assert_allclose(read, levels / 65535, atol=1 / 255)


def test_16_bit_grey_with_a_transparent_level(tmp_path):
    rows = b"".join(
        b"\0" + np.full(20, 1000 + row, ">u2").tobytes() for row in range(20)
    )
    (tmp_path / "deep.png").write_bytes(
        png(20, 20, 16, 0, rows, transparent=struct.pack(">H", 1003))
    )
    column = read_image(tmp_path / "deep.png")[:, 7, 1]
    assert column[3] == 1
    others = np.delete(np.arange(1000, 1020), 3)
    np.testing.assert_allclose(np.delete(column, 3) * 65535, others, atol=0.01)


# --- color profiles ------------------------------------------------------------------


def profile(space, connection, tags):
    """Build a minimal ICC profile of version 2 from its tags."""
    table = struct.pack(">I", len(tags))
    body = b""
    offset = 128 + 4 + 12 * len(tags)
    for signature, data in tags.items():
        table += struct.pack(">4sII", signature, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI3I4s44x",
        128 + len(table) + len(body),
        b"\0\0\0\0",
        0x02400000,
        b"prtr" if space == b"CMYK" else b"mntr",
        space,
        connection,
        struct.pack(">6H", 2025, 1, 1, 0, 0, 0),
        b"acsp",
        b"\0\0\0\0",
        0,
        b"\0\0\0\0",
        b"\0\0\0\0",
        0,
        0,
        0xF6D6,
        0x10000,
        0xD32D,
        b"\0\0\0\0",
    )
    return header + table + body


def xyz(values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"


D50 = (0.9642, 1.0, 0.8249)
# Columns are the primaries' XYZ under D50, as the profiles of both spaces give them.
SRGB = np.array(
    [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
)
DISPLAY_P3 = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)


def rgb_profile(primaries, exponent):
    tags = {b"wtpt": xyz(D50)}
    for index, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = xyz(primaries[:, index])
        tags[name + b"TRC"] = gamma(exponent)
    return profile(b"RGB ", b"XYZ ", tags)


def encode(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )


GREY_LINEAR = profile(b"GRAY", b"XYZ ", {b"wtpt": xyz(D50), b"kTRC": gamma(1)})


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_linear_profile_is_converted(tmp_path, suffix):
    path = tmp_path / f"linear.{suffix}"
    image = Image.new("RGB", (20, 20), (64, 128, 16))
    image.save(path, icc_profile=rgb_profile(SRGB, 1), quality=100)
    expected = encode(np.array([64, 128, 16]) / 255)
    np.testing.assert_allclose(read_image(path)[5, 5], expected, atol=0.02)
    image.save(path, quality=100)
    untagged = read_image(path)[5, 5]
    np.testing.assert_allclose(untagged, np.array([64, 128, 16]) / 255, atol=0.02)
    assert np.abs(untagged - expected).min() > 0.1


def test_wide_gamut_profile_is_converted():
    stored = np.array([200, 120, 90]) / 255
    image = Image.new("RGB", (20, 20), (200, 120, 90))
    image.info["icc_profile"] = rgb_profile(DISPLAY_P3, 2.2)
    expected = encode(np.linalg.solve(SRGB, DISPLAY_P3 @ stored**2.2))
    np.testing.assert_allclose(read_image(image)[5, 5], expected, atol=0.006)
    assert expected[0] - stored[0] > 0.03


def test_srgb_profile_changes_nothing():
    image = Image.fromarray(NOISE)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image.info["icc_profile"] = srgb.tobytes()
    np.testing.assert_allclose(read_image(image), NOISE / 255, atol=1.01 / 255)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profile_is_converted(mode):
    value = {"L": 50, "LA": (50, 51), "I;16": 50 * 257}[mode]
    image = Image.new(mode, (20, 20), value)
    image.info["icc_profile"] = GREY_LINEAR
    expected = encode(50 / 255)
    if mode == "LA":
        expected = 0.8 + 0.2 * expected
    np.testing.assert_allclose(read_image(image), expected, atol=0.006)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_rgb_profile_of_other_modes_is_converted(mode):
    image = Image.new("RGBA", (20, 20), (50, 50, 50, 255)).convert(mode)
    image.info["icc_profile"] = rgb_profile(SRGB, 1)
    if mode == "RGBA":
        image.putalpha(51)
    read = read_image(image)
    expected = encode(50 / 255)
    if mode == "RGBA":
        expected = 0.8 + 0.2 * expected
    np.testing.assert_allclose(read, expected, atol=0.006)


def cmyk_profile():
    """Inks of another press: cyan prints sRGB green and all else prints white."""
    white, green = (255, 128, 128), (224, 49, 209)
    corners = bytearray()
    for corner in range(16):
        corners += bytes(green if corner == 0b1000 else white)
    identity = bytes(range(256))
    table = (
        b"mft1\0\0\0\0"
        + struct.pack(">4B", 4, 3, 2, 0)
        + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
        + identity * 4
        + bytes(corners)
        + identity * 3
    )
    return profile(b"CMYK", b"Lab ", {b"wtpt": xyz(D50), b"A2B0": table})


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_profile_is_converted(tmp_path, suffix):
    path = tmp_path / f"cyan.{suffix}"
    image = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    image.save(path, icc_profile=cmyk_profile(), quality=100)
    np.testing.assert_allclose(read_image(path)[5, 5], [0, 1, 0], atol=0.05)
    image.save(path, quality=100)
    np.testing.assert_allclose(read_image(path)[5, 5], [0, 1, 1], atol=0.05)


@pytest.mark.parametrize(
    ("mode", "broken"),
    [
        ("RGB", b"not a profile"),
        ("RGB", rgb_profile(SRGB, 1)[:200]),
        ("RGB", profile(b"RGB ", b"XYZ ", {b"wtpt": xyz(D50)})),
        ("RGB", GREY_LINEAR),
        ("RGB", cmyk_profile()),
        ("CMYK", rgb_profile(SRGB, 1)),
    ],
)
def test_unusable_profile_is_ignored_with_a_note(tmp_path, caplog, mode, broken):
    path = tmp_path / "odd.tif"
    image = Image.fromarray(NOISE).convert(mode)
    image.save(path, icc_profile=broken)
    with caplog.at_level(logging.WARNING, "nstjax"):
        read = read_image(path)
    np.testing.assert_array_equal(read, np.float32(NOISE / 255))
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "color profile" in record.getMessage()
    assert "\n" not in record.getMessage()


# --- animations ------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation_and_a_note(tmp_path, caplog, suffix):
    path = tmp_path / f"moving.{suffix}"
    red, blue = (Image.new("RGB", (20, 20), color) for color in ("red", "blue"))
    red.save(path, save_all=True, append_images=[blue], lossless=True)
    with caplog.at_level(logging.INFO, "nstjax"):
        read = read_image(path)
    np.testing.assert_allclose(read[5, 5], [1, 0, 0], atol=0.01)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is animated: using its first frame"
    ]


def test_pages_are_no_animation(tmp_path, caplog):
    path = tmp_path / "pages.tif"
    first, second = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "white")
    first.save(path, save_all=True, append_images=[second])
    assert read_image(path).max() == 0
    assert "several pages" in caplog.text


def test_previews_of_a_phone_are_no_animation(tmp_path, caplog):
    path = tmp_path / "phone.jpg"
    first, second = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "white")
    first.save(path, "MPO", save_all=True, append_images=[second])
    assert read_image(path).max() < 0.01
    assert not caplog.records


def test_a_still_picture_has_no_note(tmp_path, caplog):
    Image.fromarray(NOISE).save(tmp_path / "still.gif")
    read_image(tmp_path / "still.gif")
    assert not caplog.records


# --- bad files -------------------------------------------------------------------


def test_missing_file_folder_and_empty_file(tmp_path):
    assert "does not exist" in refused(tmp_path / "missing.png")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "is empty" in refused(tmp_path / "empty.png")


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(NOISE).save(path)

    # Taking the permission away would not stop a test that runs as root.
    def denied(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("nstjax.io.images.open", denied, raising=False)
    assert "Permission denied" in refused(path)


@pytest.mark.parametrize("content", [b"hello\n" * 100, b"\0" * 999, b"<svg></svg>"])
def test_not_a_picture(tmp_path, content):
    (tmp_path / "text.png").write_bytes(content)
    assert "not a picture" in refused(tmp_path / "text.png")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_truncated_file_is_refused(tmp_path, suffix, part):
    path = tmp_path / f"part.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "damaged or cut short" in refused(path)


def test_corrupt_file_is_refused(tmp_path):
    path = tmp_path / "corrupt.png"
    Image.fromarray(NOISE).save(path)
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF
    path.write_bytes(content)
    assert "damaged or cut short" in refused(path)


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "small.png")
    assert f"{size[0]}×{size[1]}" in refused(tmp_path / "small.png")
    refused(Image.new("RGB", size))
    refused(np.zeros(size[::-1]))


@pytest.mark.parametrize(("width", "height"), [(20000, 20000), (10001, 10000)])
def test_too_many_pixels_is_seen_in_the_header(tmp_path, width, height):
    # There are no pixels behind this header, so decoding would fail otherwise.
    (tmp_path / "huge.png").write_bytes(png(width, height, 8, 2, b""))
    assert "100 million" in refused(tmp_path / "huge.png")


def test_just_below_the_limit_is_not_too_many(tmp_path):
    # Pillow itself warns from 89 million pixels on.
    (tmp_path / "large.png").write_bytes(png(10000, 10000, 8, 2, b""))
    assert "damaged or cut short" in refused(tmp_path / "large.png")


# --- arrays --------------------------------------------------------------------------


def test_arrays():
    grey = np.float32(NOISE[:, :, 0] / 255)
    three = grey[:, :, None].repeat(3, axis=2)
    for source in (
        NOISE[:, :, 0],
        NOISE[:, :, :1],
        NOISE[:, :, 0].astype(np.uint16) * 257,
        grey,
        grey.astype(np.float64),
        three,
    ):
        read = read_image(source)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, three, atol=1e-7)


def test_the_result_is_not_the_array_itself():
    source = smooth()
    read_image(source)[:] = 0
    np.testing.assert_array_equal(source, smooth())


def with_value(value):
    values = smooth()
    values[3, 4, 1] = value
    return values


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_value(np.nan), "nan"),
        (with_value(1.01), "1.01"),
        (with_value(-0.01), "-0.01"),
        (with_value(np.inf), "inf"),
        (smooth()[:, :, :2], "shape"),
        (smooth()[None], "shape"),
        (np.zeros(100), "shape"),
        (np.zeros((0, 0, 3)), "0×0"),
        (np.zeros((20, 20), np.int64), "int64"),
        (np.zeros((20, 20), bool), "bool"),
        (np.zeros((20, 20), complex), "complex128"),
        (np.array(None), "object"),
    ],
)
def test_bad_arrays(array, message):
    assert message in refused(array)


# --- writing -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_lossless_round_trip(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_image(path, NOISE.astype(np.float32) / 255)
    np.testing.assert_array_equal(read_image(path), np.float32(NOISE / 255))


@pytest.mark.parametrize(
    ("suffix", "format_name"), [(".jpg", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP")]
)
def test_lossy_round_trip_and_quality(tmp_path, suffix, format_name):
    best, worst = tmp_path / f"best{suffix}", tmp_path / f"worst{suffix}"
    write_image(best, smooth(200, 200))
    write_image(worst, smooth(200, 200), quality=5)
    assert np.abs(read_image(best) - smooth(200, 200)).mean() < 0.01
    assert worst.stat().st_size < best.stat().st_size
    with Image.open(best) as stored:
        assert stored.format == format_name


def test_values_are_rounded_and_clipped(tmp_path):
    image = np.zeros((16, 16, 3))
    image[0, :5, 0] = [100.4 / 255, 100.6 / 255, -0.1, 1.1, 254.6 / 255]
    write_image(tmp_path / "out.png", image)
    with Image.open(tmp_path / "out.png") as stored:
        assert np.asarray(stored)[0, :5, 0].tolist() == [100, 101, 0, 255, 255]


@pytest.mark.parametrize(("quality", "factors"), [(90, (1, 1)), (89, (2, 2))])
def test_jpeg_keeps_full_color_resolution_from_90_on(tmp_path, quality, factors):
    write_image(tmp_path / "out.jpg", smooth(), quality=quality)
    with Image.open(tmp_path / "out.jpg") as stored:
        assert stored.layer[0][1:3] == factors


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((20, 20)), "shape"),
        (np.zeros((20, 20, 4)), "shape"),
        (np.zeros((0, 20, 3)), "shape"),
        (np.full((20, 20, 3), np.nan), "NaN"),
    ],
)
def test_bad_images_are_not_written(tmp_path, image, message):
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / "out.png", image)
    assert not list(tmp_path.iterdir())


def test_quality_out_of_range(tmp_path):
    for quality in (0, 101):
        with pytest.raises(InputError, match="quality"):
            write_image(tmp_path / "out.jpg", smooth(), quality=quality)


def test_check_output(tmp_path, monkeypatch):
    def message(path):
        with pytest.raises(InputError) as caught:
            check_output(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    check_output(tmp_path / "out.png")
    assert not list(tmp_path.iterdir())
    for name in ("out.gif", "out", "out.png.part"):
        assert ".png .jpg .jpeg .webp .tif .tiff" in message(tmp_path / name)
    assert "create the folder" in message(tmp_path / "none" / "out.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in message(tmp_path / "folder.png")
    # Taking the permission away would not stop a test that runs as root.
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    assert "not writable" in message(tmp_path / "out.png")


def test_check_output_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("out.png", smooth())
    assert os.listdir() == ["out.png"]


def test_full_disk_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "out.png"
    write_image(path, smooth())
    old = path.read_bytes()
    noise = np.random.default_rng(0).random((100, 100, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for name in ("out.png", "new.png", "new.jpg", "new.tif", "new.webp"):
            with pytest.raises(InputError, match="cannot be written") as caught:
                write_image(tmp_path / name, noise)
            assert "\n" not in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_too_large_for_the_format(tmp_path):
    with pytest.raises(InputError, match="cannot be written as WEBP") as caught:
        write_image(tmp_path / "out.webp", np.zeros((1, 16384, 3), np.float32))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


# --- atomic_path -----------------------------------------------------------------


def test_atomic_path_replaces_only_at_the_end(tmp_path):
    path = tmp_path / "data.h5"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".h5"
        assert not temporary.exists()
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_atomic_path_removes_the_part_on_failure(tmp_path, error):
    path = tmp_path / "data.bin"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_needs_the_file_to_be_written(tmp_path):
    path = tmp_path / "data.bin"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old"


def test_atomic_path_syncs_before_it_replaces(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), fsync(*a)))
    monkeypatch.setattr(
        os, "replace", lambda *a: (calls.append("replace"), replace(*a))
    )
    with atomic_path(tmp_path / "data.bin") as temporary:
        temporary.write_text("new")
    assert calls == ["fsync", "replace"]


def test_atomic_path_follows_a_symbolic_link(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "target.png")
    with atomic_path(tmp_path / "link.png") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "target.png").read_text() == "new"


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_permissions_follow_the_umask(tmp_path, mask):
    previous = os.umask(mask)
    try:
        write_image(tmp_path / "out.png", smooth())
    finally:
        os.umask(previous)
    mode = stat.S_IMODE((tmp_path / "out.png").stat().st_mode)
    assert mode == 0o666 & ~mask
