import errno
import logging
import os
import resource
import warnings

import numpy as np
import pytest
from image_files import NOISE, png, refused, smooth
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.images import check_output, picture_problem, read_image, write_image


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


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation_and_a_note(tmp_path, caplog, suffix):
    path = tmp_path / f"moving.{suffix}"
    red, blue = (Image.new("RGB", (20, 20), color) for color in ("red", "blue"))
    red.save(path, save_all=True, append_images=[blue], lossless=True)
    with caplog.at_level(logging.INFO, "nstjax"):
        read = read_image(path)
    np.testing.assert_allclose(read[5, 5], [1, 0, 0], atol=0.01)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is animated: using the first of its 2 frames"
    ]


@pytest.mark.parametrize(
    ("name", "format_name", "note"),
    [
        ("pages.tif", "TIFF", ["several pages: using the first of its 2"]),
        # The previews of a phone.
        ("phone.jpg", "MPO", []),
    ],
)
def test_pages_and_previews_are_no_animation(tmp_path, caplog, name, format_name, note):
    path = tmp_path / name
    first, second = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "white")
    first.save(path, format_name, save_all=True, append_images=[second])
    assert read_image(path).max() < 0.01
    assert [words in caplog.text for words in note] == [True] * len(caplog.records)


def test_a_still_picture_has_no_note(tmp_path, caplog):
    Image.fromarray(NOISE).save(tmp_path / "still.gif")
    read_image(tmp_path / "still.gif")
    assert not caplog.records


def test_what_is_no_file_with_something_in_it(tmp_path):
    (tmp_path / "empty.png").touch()
    # It is not waited for.
    os.mkfifo(tmp_path / "pipe.png")
    assert "does not exist" in refused(tmp_path / "missing.png")
    assert "is a folder" in refused(tmp_path)
    assert "is empty" in refused(tmp_path / "empty.png")
    assert "is no regular file" in refused(tmp_path / "pipe.png")


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(NOISE).save(path)

    # Taking the permission away would not stop a test that runs as root.
    def denied(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("nstjax.io.images.open", denied, raising=False)
    assert "Permission denied" in refused(path)


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
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert picture_problem(path) is not None
    assert told == []


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_too_small(tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "small.png")
    assert f"{size[0]}×{size[1]}" in refused(tmp_path / "small.png")
    refused(Image.new("RGB", size))
    refused(np.zeros(size[::-1]))


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
    grey = np.float32(NOISE[:, :, 0] / 255)
    three = grey[:, :, None].repeat(3, axis=2)
    for source in (
        NOISE[:, :, 0],
        NOISE[:, :, :1],
        NOISE[:, :, 0].astype(np.uint16) * 257,
        grey,
        grey.astype(np.float64),
        three.copy(),
    ):
        before = source.copy()
        read = read_image(source)
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, three, atol=1e-7)
        read[:] = 0
        np.testing.assert_array_equal(source, before)


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


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_lossless_round_trip(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    write_image(f"out{suffix}", NOISE.astype(np.float32) / 255)
    np.testing.assert_array_equal(read_image(f"out{suffix}"), np.float32(NOISE / 255))
    assert os.listdir() == [f"out{suffix}"]


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
    ("image", "quality", "message"),
    [
        (np.zeros((20, 20)), 95, "shape"),
        (np.zeros((20, 20, 4)), 95, "shape"),
        (np.zeros((0, 20, 3)), 95, "shape"),
        (np.full((20, 20, 3), np.nan), 95, "NaN"),
        (smooth(), 0, "quality"),
        (smooth(), 101, "quality"),
    ],
)
def test_bad_images_are_not_written(tmp_path, image, quality, message):
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / "out.png", image, quality=quality)
    assert not list(tmp_path.iterdir())


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
