import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError
from nstjax.images.resizing import (
    Size,
    output_size,
    parse_size,
    resize,
    without_enlargement,
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("512",), Size("long", 512)),
        ((512,), Size("long", 512)),
        ((" 512 ",), Size("long", 512)),
        (("short:256",), Size("short", 256)),
        (("area:300",), Size("area", 300)),
        (("width:1",), Size("width", 1)),
        (("20000",), Size("long", 20000)),
        (("640X480",), Size("exact", (480, 640))),
        (("original",), Size("original", None)),
        # The default rule is for a number alone.
        (("512", "area"), Size("area", 512)),
        (("long:512", "area"), Size("long", 512)),
        (("640x480", "area"), Size("exact", (480, 640))),
    ],
)
def test_parse_size(arguments, expected):
    assert parse_size(*arguments) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "big", "0", "-5", "long:-5", "long:0", "long:", ":512", "tall:512"),
        *("512.5", "1e3", "٥١٢", "20001", "9" * 5000, "0x480", "640x0", "640x20001"),
        *("640x480x3", "640x", "640 480", "exact:512", "original:512", -512),
    ],
)
def test_parse_size_refuses(text):
    with pytest.raises(InputError) as caught:
        parse_size(text)
    assert str(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "landscape", "portrait"),
    [
        (Size("long", 512), (384, 512), (512, 384)),
        (Size("short", 300), (300, 400), (400, 300)),
        (Size("width", 300), (225, 300), (400, 300)),
        # sqrt(600 * 800) = 692.82, so 346.41 is half of each side.
        (Size("area", 346), (300, 400), (400, 300)),
        (Size("exact", (70, 90)), (70, 90), (70, 90)),
        (Size("original"), (600, 800), (800, 600)),
    ],
)
def test_output_size(size, landscape, portrait):
    assert output_size(600, 800, size) == landscape
    assert output_size(800, 600, size) == portrait


def test_output_size_is_rounded_and_never_zero():
    for (height, width, long), expected in {
        (999, 1000, 500): (500, 500),
        (501, 1000, 500): (251, 500),
        (249, 1000, 10): (2, 10),
        (16, 20000, 20): (1, 20),
    }.items():
        assert output_size(height, width, Size("long", long)) == expected


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "bilinear", "box"])
@pytest.mark.parametrize(("height", "width"), [(21, 30), (90, 120)])
def test_resize_agrees_with_pillow_in_8_bits(method, height, width):
    # Levels far from 0 and 255, as Pillow's 8 bits also clip between the two passes.
    levels = np.random.default_rng(1).integers(90, 166, (60, 50, 3), dtype=np.uint8)
    expected = Image.fromarray(levels).resize(
        (width, height), Image.Resampling[method.upper()]
    )
    resized = resize(levels.astype(np.float32) / 255, height, width, method) * 255
    assert (resized.shape, resized.dtype) == ((height, width, 3), np.float32)
    # Pillow rounds to 8 bits after each of the two passes.
    assert np.abs(resized - np.asarray(expected, np.float32)).max() < 1.6


def test_resize_clips_the_ringing_and_keeps_more_than_8_bits():
    edge = np.zeros((32, 32), np.float32)
    edge[:, 16:] = 1
    resized = resize(edge, 97, 97)
    assert (resized.min(), resized.max()) == (0, 1)
    assert resize(edge, 32, 32) is edge
    faint = np.full((16, 16), 0.5 + 1e-4, np.float32)
    assert resize(faint, 8, 8)[4, 4] == pytest.approx(0.5001, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "becomes"),
    [
        (Size("long", 64), Size("long", 64)),
        (Size("short", 20), Size("short", 20)),
        (Size("original"), Size("original")),
        (Size("long", 65), Size("exact", (48, 64))),
        (Size("area", 300), Size("exact", (48, 64))),
        (Size("exact", (48, 64)), Size("exact", (48, 64))),
        (Size("exact", (30, 100)), Size("exact", (19, 64))),
        (Size("exact", (2000, 2)), Size("exact", (48, 1))),
    ],
)
def test_no_picture_is_enlarged(size, becomes):
    assert without_enlargement(size, 48, 64) == becomes
