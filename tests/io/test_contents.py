"""What somebody gives to be restyled, told by what the files hold."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from film_files import lavfi
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.contents import (
    files_below,
    find_contents,
    split_paintings,
    unique_names,
)
from nstjax.io.video import probe, read_frames, write_video

# Containers, and what they need beside their name: a codec, or a size.
FILMS = {
    "wmv": ["-f", "asf"],
    "flv": ["-f", "flv"],
    "3gp": ["-f", "3gp", "-c:v", "h263", "-s", "128x96"],
    "mpeg": ["-f", "mpeg"],
    "mts": ["-f", "mpegts"],
    "ogv": ["-f", "ogg", "-c:v", "libtheora"],
    "webm": ["-f", "webm"],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def photo(path, size=(20, 16), **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, **options)


def film(path, *coding):
    lavfi("testsrc=s=32x24:r=25:d=0.2", *coding, path)


def animation(path):
    frames = [Image.new("RGB", (20, 16), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


def found(*given, **options):
    contents = find_contents(given, **options)
    return [(str(each.path), each.video, str(each.folder)) for each in contents]


@pytest.mark.parametrize("kind", FILMS)
def test_videos_of_any_container_and_name(kind):
    for name in (f"film.{kind}", "film.dat"):
        film(Path(name), *FILMS[kind])
        assert found(name) == [(name, True, ".")]


def test_pictures_of_any_format_and_name():
    for kind in ("PNG", "AVIF", "TIFF", "BMP", "GIF"):
        photo("picture", format=kind)
        os.rename("picture", "picture.mp4")
        assert found("picture.mp4") == [("picture.mp4", False, ".")]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_is_a_video_where_a_video_is_asked_for(suffix, monkeypatch):
    # Pillow warns of large ones.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    moving, still = f"moving.{suffix}", f"still.{suffix}"
    animation(moving)
    photo(still)
    for output in (None, "film.mp4"):
        is_video = output is not None
        expected = [(moving, is_video, "."), (still, False, ".")]
        assert found(moving, still, output=output) == expected
    assert len(list(read_frames(moving, probe(moving)))) == 3


def test_a_folder_holds_what_can_be_read_and_the_rest_is_told_once(caplog):
    for name in ("b.jpg", "a.avif", "c.tif", ".hidden.jpg"):
        photo(f"holiday/{name}")
    film(Path("holiday/d.mts"))
    animation("holiday/e.gif")
    Path("holiday/._b.jpg").write_bytes(b"\0\5\x16\7")
    for name in ("notes.txt", "more.txt", "b.json"):
        Path("holiday", name).write_text("no picture")
    Path("holiday/tune.mp3").write_bytes(b"ID3\4\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 99)
    photo("holiday/tiny.png", (4, 4))
    photo("holiday/below/f.jpg")
    names = [Path(path).name for path, *_ in found("holiday")]
    assert names == ["a.avif", "b.jpg", "c.tif", "d.mts", "e.gif"]
    assert caplog.messages == [
        "left out 5 of 10 files: holiday/b.json is neither a picture nor a video that "
        "can be read (and 3 more); holiday/tiny.png is 4×4 pixels: give a picture of "
        "at least 16 on each side"
    ]


def test_subfolders_but_those_that_cannot_be_looked_into(monkeypatch, caplog):
    for name in ("a.png", "x/b.png", "x/y/c.png", ".cache/d.png", "out/e.png"):
        photo(f"holiday/{name}")
    photo("holiday/closed/f.png")
    photo("elsewhere/g.png")
    os.symlink("../elsewhere", "holiday/linked")
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    # Whoever may read everything may run the tests, too.
    monkeypatch.setattr(os, "scandir", refusing)
    assert found("holiday") == [("holiday/a.png", False, ".")]
    assert not caplog.messages
    assert found("holiday", recursive=True, output="holiday/out") == [
        ("holiday/a.png", False, "."),
        ("holiday/x/b.png", False, "x"),
        ("holiday/x/y/c.png", False, "x/y"),
    ]
    assert sorted(caplog.messages) == [
        "left out holiday/closed: Permission denied",
        "left out holiday/linked: it is a link to a folder, give that folder",
    ]


def test_what_holds_no_photo_is_refused(caplog):
    photo("a.png", (300, 200))
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:20])
    os.makedirs("empty/below")
    for name in ("b.txt", "c.txt"):
        Path(name).write_text("no picture")
    assert found("b.txt", "a.png") == [("a.png", False, ".")]
    assert "left out 1 of 2 files: b.txt is neither" in caplog.messages[0]
    for given, says in {
        ("b.txt",): r"^b\.txt is neither a picture nor a video",
        ("b.txt", "c.txt"): r"in b\.txt, c\.txt: b\.txt is .* 1 more\)$",
        ("a.png", "d.png"): r"^d\.png does not exist: check the path$",
        ("cut.png",): r"^cut\.png is damaged or cut short",
        ("empty/below",): "in empty/below: give a folder with some",
        ("empty",): r"in empty \(--recursive looks into subfolders\)",
    }.items():
        with pytest.raises(InputError, match=says):
            find_contents(given)


def test_videos_without_the_extra(monkeypatch, caplog):
    photo("holiday/a.png")
    film(Path("holiday/b.mkv"))
    Path("holiday/c.txt").write_text("no picture")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert len(found("holiday")) == 1
    assert caplog.messages == [
        "left out 2 of 3 files: holiday/b.mkv is not a picture that can be read, and "
        "videos need imageio-ffmpeg: pip install 'nstjax[video]'; holiday/c.txt is "
        "neither a picture nor a video that can be read"
    ]


def test_pictures_after_the_first_are_paintings(caplog):
    caplog.set_level("INFO")
    for name in ("a.png", "b.png", "c.gif", "folder/d.png"):
        photo(name)
    write_video("film.mp4", np.zeros((2, 32, 32, 3), np.uint8), 10)
    assert split_paintings(["a.png"]) == (["a.png"], [])
    assert split_paintings(["folder", "a.png"]) == (["folder"], ["a.png"])
    given = ["a.png", "film.mp4", "folder"]
    assert split_paintings(given) == (given, [])
    assert caplog.messages == []
    given = ["a.png", "b.png", "c.gif"]
    assert split_paintings(given) == (given[:1], given[1:])
    assert caplog.messages == [
        "restyling a.png in a mixture of 2 paintings: with --style, all pictures are "
        "restyled"
    ]
    with pytest.raises(InputError, match=r"^no\.png does not exist"):
        split_paintings(["a.png", "no.png"])


def test_no_name_is_that_of_a_folder_or_too_long():
    given = ["...png", "..png", ".png", "a.b.png", "x/...png", "a" * 251 + ".png"]
    names = unique_names([Path(name) for name in given])
    assert names == ["___png", "__png", ".png", "a.b", "___png_2", "a" * 140]
    # One of the file system's bytes that is no text.
    assert unique_names([Path(os.fsdecode(b"\xff.png"))]) == [os.fsdecode(b"\xff")]


def test_what_is_left_out_of_a_folder_may_have_any_name():
    for name in ("all/a", "all/._a", "all/within/b", "all/run/c", "all/run/samples/1"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Path(name).touch()
    without = ["all/within/../run/samples"]
    files = map(str, files_below("all", recursive=True, without=without))
    assert [*files] == ["all/a", "all/run/c", "all/within/b"]
