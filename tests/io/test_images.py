import errno
import os
import resource
import warnings
from unittest import mock

import numpy as np
import pytest
from image_files import NOISE, png, refused, smooth
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.images import check_output, read_image, write_image


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG", "bmp", "ppm"])
def test_lossless_formats_are_exact(tmp_path, suffix):
    path, expected = tmp_path / f"noise.{suffix}", np.float32(NOISE / 255)
    Image.fromarray(NOISE).save(path)
    if suffix not in ("bmp", "ppm"):
        write_image(path, expected)
    for source in (path, str(path), Image.fromarray(NOISE)):
        np.testing.assert_array_equal(read_image(source), expected, strict=True)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "gif"])
def test_lossy_formats_are_close(tmp_path, suffix):
    path = tmp_path / f"smooth.{suffix}"
    Image.fromarray(np.uint8(smooth() * 255)).save(path, quality=95)
    assert np.abs(read_image(path) - smooth()).mean() < 0.03


ANIMATED = ["%s is animated: using the first of its 2 frames"]
PAGES = ["%s has several pages: using the first of its 2"]


@pytest.mark.parametrize(
    ("suffix", "kind", "says"),
    [
        *((kind.lower(), kind, ANIMATED) for kind in ("GIF", "WEBP", "PNG")),
        ("tif", "TIFF", PAGES),
        # The previews of a phone.
        ("jpg", "MPO", []),
    ],
)
def test_the_first_of_several_frames_and_a_note(tmp_path, caplog, suffix, kind, says):
    path = tmp_path / f"several.{suffix}"
    red, blue = (Image.new("RGB", (20, 20), color) for color in ("red", "blue"))
    red.save(path, kind, save_all=True, append_images=[blue], lossless=True)
    np.testing.assert_allclose(read_image(path)[5, 5], [1, 0, 0], atol=0.01)
    red.save(path)
    read_image(path)
    assert caplog.messages == [text % path for text in says]


def test_what_is_no_file_with_something_in_it(tmp_path):
    (tmp_path / "empty.png").touch()
    # It is not waited for.
    os.mkfifo(tmp_path / "pipe.png")
    assert "does not exist" in refused(tmp_path / "missing.png")
    assert "is a folder" in refused(tmp_path)
    assert "is empty" in refused(tmp_path / "empty.png")
    assert "is no regular file" in refused(tmp_path / "pipe.png")
    # Taking the permission away would not stop a test that runs as root.
    denied = mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    with mock.patch("nstjax.io.images.open", denied, create=True):
        assert "Permission denied" in refused(tmp_path / "empty.png")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_truncated_file_is_refused(tmp_path, suffix, part):
    path = tmp_path / f"part.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "damaged or cut short" in refused(path)
    if suffix == "png":
        flipped = bytearray(whole)
        flipped[int(len(whole) * part)] ^= 0xFF
        path.write_bytes(flipped)
        assert "damaged or cut short" in refused(path)


def test_what_pillow_warns_of_is_not_told(tmp_path):
    path = tmp_path / "cut.tif"
    Image.new("RGB", (40, 40)).save(path)
    path.write_bytes(path.read_bytes()[:74])
    with warnings.catch_warnings(record=True, action="always") as told:
        refused(path)
    assert told == []


def test_too_small(tmp_path):
    for size in [(1, 1), (15, 100), (100, 15)]:
        Image.new("RGB", size).save(tmp_path / "small.png")
        sources = tmp_path / "small.png", Image.new("RGB", size), np.zeros(size[::-1])
        for source in sources:
            assert f"{size[0]}×{size[1]}" in refused(source)


@pytest.mark.parametrize(
    ("side", "says"),
    [
        (20000, "more than 178 million"),
        (10001, "more than 100 million"),
        # Pillow itself warns from 89 million pixels on.
        (10000, "damaged or cut short"),
    ],
)
def test_too_many_pixels_is_seen_in_the_header(tmp_path, side, says):
    # There are no pixels behind this header, so decoding would fail otherwise.
    (tmp_path / "huge.png").write_bytes(png(side, side, 8, 2, b""))
    assert says in refused(tmp_path / "huge.png")


def test_arrays():
    levels = NOISE[:, :, 0]
    grey = np.float32(levels / 255)
    three = grey[:, :, None].repeat(3, axis=2)
    deep = levels.astype(np.uint16) * 257
    clear = np.dstack([three, np.ones_like(grey)])
    greys = (levels, NOISE[:, :, :1], deep, grey, np.float64(grey))
    for source in (*greys, three.copy(), clear):
        before = source.copy()
        read = read_image(source)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, three, atol=1e-7)
        read[:] = 0
        np.testing.assert_array_equal(source, before)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (smooth()[:, :, :2], "shape"),
        (smooth()[None], "shape"),
        (np.zeros(100), "shape"),
        (np.zeros((0, 0, 3)), "0×0"),
        (np.zeros((20, 20), np.int64), "int64"),
        (np.zeros((20, 20), bool), "bool"),
        (np.zeros((20, 20), complex), "complex128"),
        (np.array(None), "object"),
        *((np.full((20, 20), value), str(value)) for value in (np.nan, 1.01, -0.01)),
    ],
)
def test_bad_arrays(array, message):
    assert message in refused(array)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_lossy_round_trip_and_quality(tmp_path, suffix):
    best, worst = tmp_path / f"best.{suffix}", tmp_path / f"worst.{suffix}"
    write_image(best, smooth(200, 200))
    write_image(worst, smooth(200, 200), quality=5)
    assert np.abs(read_image(best) - smooth(200, 200)).mean() < 0.01
    assert worst.stat().st_size < best.stat().st_size
    with Image.open(best) as stored:
        assert stored.format == suffix.upper().replace("JPG", "JPEG")


def test_values_are_rounded_and_clipped(tmp_path):
    image = np.zeros((16, 16, 3))
    image[0, :5, 0] = [100.4 / 255, 100.6 / 255, -0.1, 1.1, 254.6 / 255]
    write_image(tmp_path / "out.png", image)
    read = read_image(tmp_path / "out.png")[0, :5, 0]
    np.testing.assert_allclose(read, np.array([100, 101, 0, 255, 255]) / 255)


def test_jpeg_keeps_full_color_resolution_from_90_on(tmp_path):
    for quality, factors in {90: (1, 1), 89: (2, 2)}.items():
        write_image(tmp_path / "out.jpg", smooth(), quality=quality)
        with Image.open(tmp_path / "out.jpg") as stored:
            assert stored.layer[0][1:3] == factors


@pytest.mark.parametrize(
    ("image", "quality", "message"),
    [
        (np.zeros((20, 20)), 95, "shape"),
        (np.zeros((20, 20, 4)), 95, "shape"),
        (np.zeros((0, 20, 3)), 95, "shape"),
        (np.full((20, 20, 3), np.nan), 95, "NaN"),
        (smooth(), 0, "quality"),
        (smooth(), 101, "quality"),
        (np.zeros((1, 16384, 3)), 95, r"cannot be written as WEBP [^\n]+$"),
    ],
)
def test_bad_images_are_not_written(tmp_path, image, quality, message):
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / "out.webp", image, quality=quality)
    assert not list(tmp_path.iterdir())


def test_check_output(tmp_path):
    check_output(tmp_path / "out.png")
    for name, says in {
        "out.gif": "end it with one of .png .jpg .jpeg .webp .tif .tiff",
        "out": "has no suffix of a picture format",
        "out.png.part": "has no suffix of a picture format",
        "none/out.png": f"cannot be written: create the folder {tmp_path}/none first",
        ".": "is a folder: give the name of a file",
    }.items():
        with pytest.raises(InputError, match=f"{tmp_path / name} .*{says}"):
            check_output(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "out.png"
    write_image(path, smooth())
    old = path.read_bytes()
    noise = np.random.default_rng(0).random((100, 100, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for name in ("out.png", "new.png", "new.jpg", "new.tif", "new.webp"):
            with pytest.raises(InputError, match=r"cannot be written [^\n]+$"):
                write_image(tmp_path / name, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
