"""What a file holds is told by its contents; formats that take an extra package."""

import sys

import numpy as np
import pytest
from image_files import refused, save_raw, smooth
from PIL import EpsImagePlugin, Image

from nstjax.errors import InputError
from nstjax.io.images import NoPictureError, check_picture, read_image

PICTURE = Image.fromarray(np.uint8(smooth() * 255))


def save_heic(path):
    pytest.importorskip("pillow_heif").from_pillow(PICTURE).save(path, quality=95)


def test_heic(tmp_path):
    save_heic(tmp_path / "photo.jpg")
    assert np.abs(read_image(tmp_path / "photo.jpg") - smooth()).mean() < 0.03


def test_raw_is_developed_and_not_its_thumbnail(tmp_path):
    pytest.importorskip("rawpy")
    save_raw(tmp_path / "photo.tif")
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
    with pytest.raises(InputError, match=extra) as told:
        check_picture(path)
    assert not isinstance(told.value, NoPictureError)


def test_raw_files_are_known_by_their_start(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    starts = [b"FUJIFILMCCD-RAW ", b"IIU\0", b"IIRS", b"II*\0\x10\0\0\0CR"]
    starts += [b"\0\0\0\x18ftypcrx ", b"II*\0\x08\0\0\0IIII"]
    for start in starts:
        (tmp_path / "photo.jpg").write_bytes(start + bytes(99))
        assert "is a camera's RAW file" in refused(tmp_path / "photo.jpg")


def test_a_plain_tiff_is_no_raw_file(tmp_path):
    path = tmp_path / "plain.tif"
    # A full picture first; as "reduced" one may name what is a page of its own.
    for kind in (0, 1):
        PICTURE.save(path, tiffinfo={254: kind})
        assert np.abs(read_image(path) - smooth()).mean() < 0.01


def test_what_is_no_picture(tmp_path):
    for name, contents in {
        "text.png": b"hello\n" * 100,
        "zeros.png": b"",
        "drawing.png": b"<svg></svg>",
        "film.jpg": b"\0\0\0\x18ftypisom",
        "film.mpeg": b"\0\0\1\xb3",
        "surface.h5": b"\x89HDF\r\n\x1a\n",
    }.items():
        path = tmp_path / name
        path.write_bytes(contents + bytes(99))
        with pytest.raises(NoPictureError, match=f"{name} is not a picture"):
            check_picture(path)


def test_postscript_needs_ghostscript(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", False)
    Image.new("RGB", (20, 20)).save(tmp_path / "drawing.eps")
    assert "needs Ghostscript, which is not" in refused(tmp_path / "drawing.eps")
