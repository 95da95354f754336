"""nstjax-fast, with the models that come with nstjax."""

import functools
import re

import numpy as np
import pytest
from command_lines import listing
from restyle_models import picture

import nstjax
from nstjax.feedforward.inference import style_specifications

STYLES = "starry_night, wave, scream, composition, udnie, lilies, hat, delaunay"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nstjax.write_image("photo.png", picture(64, 60))
    nstjax.write_image("painting.png", picture(72, 64, seed=1))
    return tmp_path


# Each program would read it anew.
read_once = functools.cache(style_specifications.bundled_model)


@pytest.fixture
def fast(program, monkeypatch):
    """Run it in this process."""
    monkeypatch.setattr(style_specifications, "bundled_model", read_once)
    return functools.partial(program, "nstjax.commands.nstjax_fast")


def test_help_lists_the_flags(fast):
    status, out, err = fast("--help")
    assert (status, err) == (0, "")
    for words in ("nstjax-fast PHOTO", "--strength", "--interpolate", "--mask"):
        assert words in out


def test_the_styles_are_named_with_painter_and_year(fast):
    status, out, err = fast("--list_styles")
    assert (status, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert ", ".join(name for name, _ in lines) == STYLES
    assert all(re.fullmatch(r".+, .+, 1[89]\d\d", title) for _, title in lines)


def test_a_photo_alone_gets_the_default_style(folder, fast):
    status, out, err = fast("photo.png")
    assert (status, out) == (0, "nstjax-fast: wrote photo_starry_night.png\n")
    # The progress bar and nothing else.
    assert "1/1" in err and "note" not in err and "arning" not in err
    result = nstjax.read_image("photo_starry_night.png")
    assert result.shape == (64, 60, 3)
    assert np.abs(result - nstjax.read_image("photo.png")).mean() > 0.05


def test_any_painting(folder, fast):
    arguments = ("photo.png", "painting.png", "--output=out.jpg", "--quiet")
    status, out, err = fast(*arguments)
    assert (status, out, err) == (0, "nstjax-fast: wrote out.jpg\n", "")
    assert nstjax.read_image("out.jpg").shape == (64, 60, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give a photo, a video or a folder"),
        (("photo.png", "--style=mosaic"), f"styles are {STYLES}, or give the path"),
        (("photo.png", "--style="), "give names or paintings"),
        (("photo.png", "no.png"), "no.png does not exist"),
        (("photo.png", "--model=painterly", "painting.png"), "leave --model out"),
        (("photo.png", "--size=huge"), "huge"),
        (("photo.png", "--quality=0"), "is not an integer in the range [1, 100]"),
        (("photo.png", "--model=arbitrary"), "starry_night"),
    ],
)
def test_bad_input_is_one_line(folder, fast, arguments, says):
    before = listing(folder)
    status, out, err = fast(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("nstjax-fast: error: ") and err.count("\n") == 1
    assert says in err
    assert listing(folder) == before
