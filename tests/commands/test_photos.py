"""Several photos and folders of them: results, names, failures, resuming."""

import os
import pathlib
import shutil

import numpy as np
import pytest
from command_lines import (
    ONE,
    SHALLOW,
    TWO,
    check_bad,
    check_refused,
    good,
    listing,
    result,
    truncate,
)

from nstjax.runs.film import write_film

STYLE = "--style=painting.png"
# Later flags win: the results go to a folder.
SEVERAL = (STYLE, *SHALLOW, "--output=out")


@pytest.fixture
def album(studio, pictures):
    folder = studio / "album"
    folder.mkdir()
    for name in ("a.png", "b.png", "B.jpg", "._a.png", ".hidden.png"):
        shutil.copy("photo.png", folder / name)
    return folder


def test_a_folder_is_painted_picture_by_picture(album, command):
    (album / "notes.txt").write_text("no picture")
    write_film(album / "clip.mp4", [np.zeros((32, 32, 3))])
    status, out, err = command("album", "painting.png", *SEVERAL[1:])
    assert status == 0
    assert set(os.listdir("out")) == {
        f"{name}_stylized.png" for name in ("a", "b_png", "B_jpg")
    }
    for number in (1, 2, 3):
        assert f"nstjax: photo {number} of 3: album" in out
    assert err.count("nstjax: note: left out 1 of 5 files: album/notes.txt") == 1
    assert "note: left out 1 videos, album/clip.mp4 among them: nstjax-fast" in err
    alone = result(command, *ONE)
    for name in os.listdir("out"):
        assert pathlib.Path("out", name).read_bytes() == alone


def test_photos_of_one_size_share_one_compilation(album, command, compilations):
    good(command, "photo.png", *SEVERAL)
    before = len(compilations())
    good(command, "photo.png", "album/a.png", *SEVERAL)
    assert len(compilations()) == before


def test_several_styles_and_a_comma_in_a_name(studio, pictures, command):
    shutil.copy("painting.png", "paint,ing.png")
    flags = ("--style=paint,ing.png", "--style=second.png")
    assert result(command, "photo.png", *flags, *SHALLOW) == result(command, *TWO)


def test_a_failing_photo_does_not_stop_the_others(album, command):
    truncate("album/a.png")
    status, _, err = command("album", *SEVERAL)
    check_refused(status, "", err, "1 of 3 photos are missing or incomplete")
    assert "note: left out album/a.png: album/a.png is damaged" in err
    assert sorted(os.listdir("out")) == ["B_jpg_stylized.png", "b_png_stylized.png"]


def test_each_photo_has_a_working_folder_and_goes_on(album, command):
    flags = (*SEVERAL, "--workdir=runs", "--steps=2")
    good(command, "photo.png", "album/a.png", *flags)
    assert sorted(os.listdir("runs")) == ["a", "photo"]
    before = listing(pathlib.Path("out"))
    assert len(before) == 2
    check_refused(*command("photo.png", "album/a.png", *flags), "already holds a run")
    # The second photo's run has not begun, and the first is finished.
    shutil.rmtree("runs/a")
    shutil.rmtree("out")
    good(command, "photo.png", "album/a.png", *flags, "--resume")
    assert listing(pathlib.Path("out")) == before


def test_results_go_to_the_working_folders_without_an_output(album, command):
    good(command, "photo.png", "album/a.png", *SEVERAL, "--output=", "--workdir=runs")
    assert all(os.path.exists(f"runs/{name}/stylized.png") for name in ("a", "photo"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("album", STYLE, "--output=out.png"), "--output=out.png is one file"),
        (("album", "photo.png", "--style=nowhere.png"), "nowhere.png does not exist"),
        (("album", STYLE, "--weights=nowhere.h5"), "nowhere.h5 does not exist"),
        (("album", STYLE, "--output=photo.png/out"), "photo.png/out"),
        (("empty", STYLE), "no pictures or videos in empty"),
        (("photo.png", "nowhere.png", STYLE), "nowhere.png does not exist"),
        (("clip.mp4", STYLE), "clip.mp4 is a video: nstjax-fast restyles videos"),
        (("album",), "give a photo and a painting"),
    ],
)
def test_what_cannot_be_painted_leaves_nothing(arguments, says, album, command):
    pathlib.Path("empty").mkdir()
    write_film("clip.mp4", [np.zeros((32, 32, 3))])
    check_bad(command, *SHALLOW, "--output=out", *arguments, says=says)


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        # In the current folder, and what cannot be read is somebody's still.
        (("album/a.png", "a_stylized.png"), "a_stylized.png"),
        (("album", "--output=album"), "album/a_stylized.png"),
        (("album", "--output=album", "--montage"), "album/a_stylized_montage.png"),
        (("album", "--output=album", "--snapshots=1"), "album/a_stylized_000001.png"),
    ],
)
def test_no_result_takes_the_place_of_another_photo(arguments, taken, album, command):
    pathlib.Path(taken).write_text("notes")
    shutil.copy("second.png", "a_stylized.png")
    says = f"{taken} is one of the inputs"
    check_bad(command, *SHALLOW[1:], STYLE, *arguments, says=says)
