"""Pictures with an embedded color profile become sRGB."""

import logging
import struct

import numpy as np
import pytest
from image_files import NOISE
from PIL import Image, ImageCms

from nstjax.io.images import read_image


def profile(space, connection, tags):
    """Build a minimal ICC profile of version 2 from its tags."""
    table = struct.pack(">I", len(tags))
    body = b""
    offset = 128 + 4 + 12 * len(tags)
    for signature, data in tags.items():
        table += struct.pack(">4sII", signature, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    size = 128 + len(table) + len(body)
    struct.pack_into(
        ">I4xI4s4s4s", header, 0, size, 0x02400000, kind, space, connection
    )
    header[36:40] = b"acsp"
    struct.pack_into(">3I", header, 68, 0xF6D6, 0x10000, 0xD32D)
    return bytes(header) + table + body


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
LINEAR = np.array([64, 128, 16]) / 255


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_linear_profile_is_converted(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"linear.{suffix}"
    image = Image.new("RGB", (80, 80), (64, 128, 16))
    image.save(path, quality=100)
    np.testing.assert_allclose(read_image(path)[5, 5], LINEAR, atol=0.02)
    image.save(path, quality=100, icc_profile=rgb_profile(SRGB, 1))
    np.testing.assert_allclose(read_image(path)[5, 5], encode(LINEAR), atol=0.02)
    # One that is decoded smaller.
    monkeypatch.setattr("nstjax.io.reduction.REDUCE_ABOVE", 1000)
    read = read_image(path, lambda *_: (20, 20))
    assert read.shape == (40, 40, 3)
    np.testing.assert_allclose(read[5, 5], encode(LINEAR), atol=0.02)


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


@pytest.mark.parametrize(
    ("mode", "color", "icc_profile"),
    [
        ("L", 50, GREY_LINEAR),
        ("LA", (50, 51), GREY_LINEAR),
        ("I;16", 50 * 257, GREY_LINEAR),
        ("L", 50, rgb_profile(SRGB, 1)),
        ("P", (50, 50, 50), rgb_profile(SRGB, 1)),
        ("RGBA", (50, 50, 50, 51), rgb_profile(SRGB, 1)),
    ],
)
def test_linear_profiles_of_other_modes_are_converted(mode, color, icc_profile):
    image = Image.new(mode, (20, 20), color)
    image.info["icc_profile"] = icc_profile
    expected = encode(50 / 255)
    if mode in ("LA", "RGBA"):
        expected = 0.8 + 0.2 * expected
    np.testing.assert_allclose(read_image(image), expected, atol=0.006)


def cmyk_profile():
    """Inks of another press: cyan prints sRGB green and all else prints white."""
    white, green = bytes((255, 128, 128)), bytes((224, 49, 209))
    corners = b"".join(green if corner == 8 else white for corner in range(16))
    identity = bytes(range(256))
    table = (
        b"mft1\0\0\0\0"
        + struct.pack(">4B", 4, 3, 2, 0)
        + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
        + identity * 4
        + corners
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
    (message,) = caplog.messages
    assert message.startswith(f"{path}: its color profile cannot be used (")
    assert "\n" not in message
