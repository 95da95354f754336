"""What a file holds is told by its contents; formats that take an extra package."""

import sys

import numpy as np
import pytest
from image_files import refused, save_raw, smooth
from PIL import EpsImagePlugin, Image

from nstjax.errors import InputError
from nstjax.io.images import (
    NoPictureError,
    check_picture,
    picture_problem,
    read_image,
)


def save_heic(path):
    heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(np.uint8(smooth(64, 96) * 255))
    heif.from_pillow(picture).save(path, quality=95)


def test_heic(tmp_path):
    save_heic(tmp_path / "photo.jpg")
    assert picture_problem(tmp_path / "photo.jpg") is None
    read = read_image(tmp_path / "photo.jpg")
    assert np.abs(read - smooth(64, 96)).mean() < 0.03


def test_raw_is_developed_and_not_its_thumbnail(tmp_path):
    pytest.importorskip("rawpy")
    save_raw(tmp_path / "photo.tif")
    assert picture_problem(tmp_path / "photo.tif") is None
    read = read_image(tmp_path / "photo.tif")
    assert read.shape == (64, 96, 3)
    columns = read.mean(axis=(0, 2))[::8]
    assert (np.diff(columns[1:-1]) > 0).all()
    assert columns[-2] > 0.8


@pytest.mark.parametrize(
    ("save", "module", "extra"),
    [(save_heic, "pillow_heif", "heif"), (save_raw, "rawpy", "raw")],
)
def test_without_the_package_the_line_names_the_extra(
    tmp_path, monkeypatch, save, module, extra
):
    path = tmp_path / "photo.jpg"
    save(path)
    monkeypatch.setitem(sys.modules, module, None)
    assert f'pip install "nstjax[{extra}]"' in refused(path)
    assert f'pip install "nstjax[{extra}]"' in picture_problem(path)
    with pytest.raises(InputError) as told:
        check_picture(path)
    assert not isinstance(told.value, NoPictureError)


@pytest.mark.parametrize(
    "start",
    [
        b"FUJIFILMCCD-RAW ",
        b"IIU\0",
        b"IIRS",
        b"II*\0\x10\0\0\0CR",
        b"\0\0\0\x18ftypcrx ",
        b"II*\0\x08\0\0\0IIII",
    ],
)
def test_raw_files_are_known_by_their_start(tmp_path, monkeypatch, start):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "photo.jpg").write_bytes(start + bytes(99))
    assert "is a camera's RAW file" in refused(tmp_path / "photo.jpg")


def test_a_plain_tiff_is_no_raw_file(tmp_path):
    path = tmp_path / "plain.tif"
    picture = Image.fromarray(np.uint8(smooth() * 255))
    # A full picture first; as "reduced" one may name what is a page of its own.
    for kind in (0, 1):
        picture.save(path, tiffinfo={254: kind})
        assert np.abs(read_image(path) - smooth()).mean() < 0.01


def test_what_is_no_picture(tmp_path):
    (tmp_path / "text.png").write_text("hello\n" * 100)
    (tmp_path / "zeros.png").write_bytes(bytes(999))
    (tmp_path / "drawing.png").write_text("<svg></svg>")
    (tmp_path / "film.jpg").write_bytes(b"\0\0\0\x18ftypisom" + bytes(99))
    (tmp_path / "film.mpeg").write_bytes(b"\0\0\1\xb3" + bytes(99))
    (tmp_path / "surface.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    for path in tmp_path.iterdir():
        with pytest.raises(NoPictureError, match=path.name):
            check_picture(path)
        assert "is not a picture" in refused(path)


def test_postscript_needs_ghostscript(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", False)
    Image.new("RGB", (20, 20)).save(tmp_path / "drawing.eps")
    message = refused(tmp_path / "drawing.eps")
    assert "needs Ghostscript, which is not installed" in message
