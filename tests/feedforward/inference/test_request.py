"""Which files are written for what is asked for."""

import logging
from pathlib import Path

import pytest

from nstjax.errors import InputError
from nstjax.feedforward.inference.request import FastRequest, plan_jobs
from nstjax.feedforward.inference.style_specifications import StyleSpecification
from nstjax.io.contents import Content

WAVE = StyleSpecification("wave", ())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def outputs(*names, styles=(WAVE,), given=(), **options):
    """Where the results of files go; those of folder/x/a.png to a folder x."""
    contents = []
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        below = Path(*path.parts[1:-1])
        contents.append(Content(path, path.suffix in (".mp4", ".mkv"), below))
    request = FastRequest(contents=given or names, **options)
    return [job.output.as_posix() for job in plan_jobs(request, contents, styles)]


def test_results_are_named_after_photo_and_style():
    assert outputs("a.jpg", "film.mkv") == ["a_wave.png", "film_wave.mp4"]
    styles = [WAVE, StyleSpecification("scream", ())]
    assert outputs("a.jpg", styles=styles) == ["a_wave.png", "a_scream.png"]
    assert outputs("a.jpg", styles=styles, interpolate=2) == ["a_row.png"]
    assert outputs("a.b.jpg", output="out") == ["out/a.b_wave.png"]


def test_equal_names_become_different_ones():
    expected = ["a_jpg_wave.png", "a_png_wave.png", "b_wave.png", "a_wave.mp4"]
    assert outputs("f/a.jpg", "f/a.png", "f/b.png", "f/a.mp4") == expected
    below = outputs("f/a.jpg", "f/x/a.jpg", output="out")
    assert below == ["out/a_wave.png", "out/x/a_wave.png"]


def test_long_names_are_cut_and_stay_different():
    long = 83 * "浪"
    styles = [StyleSpecification("w" * 100, ())]
    names = outputs(f"f/{long}.png", f"f/{long[1:]}x.png", styles=styles)
    assert names == [f"{46 * '浪'}{end}_{'w' * 100}.png" for end in ("", "_2")]


@pytest.mark.parametrize("output", ["new", "new/", "v1.2/", "there.d"])
def test_a_folder_that_is_new_or_there(output):
    Path("there.d").mkdir()
    assert outputs("a.jpg", output=output) == [f"{output.rstrip('/')}/a_wave.png"]
    assert sorted(map(str, Path().rglob("*"))) == ["a.jpg", "there.d"]


def test_several_results_make_a_folder_of_what_names_no_file():
    several = outputs("a.jpg", "b.jpg", output="v1.2")
    assert several == ["v1.2/a_wave.png", "v1.2/b_wave.png"]
    assert outputs("f/a.jpg", output="v1.2", given=["f"]) == ["v1.2/a_wave.png"]
    assert outputs("f/a.jpg", output="out.png", given=["f"]) == ["out.png"]
    assert outputs("film.mkv", output="out.mp4") == ["out.mp4"]


@pytest.mark.parametrize(
    ("names", "output", "says"),
    [
        (["a.jpg"], "v1.2", "no suffix of a picture format"),
        (["a.jpg", "b.jpg"], "o.png", "--output=o.png is one file, for 2 results"),
        (["a.jpg"], "file/", "--output=file/: file is a file, give"),
        (["a.jpg"], "file/below", "--output=file/below: .*file is a file, give"),
        (["a.jpg"], "file", "--output=file: file is a file, give"),
        (["film.mkv"], "out.png", "out.png has no suffix of a video to write"),
        (["a.jpg"], "out.mp4", "out.mp4 has no suffix of a picture format"),
        (["a.jpg"], "no/out.png", "create the folder no first"),
        (["a.jpg", "a_wave.png"], None, "a_wave.png is one of the inputs"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(names, output, says):
    Path("file").touch()
    with pytest.raises(InputError, match=says):
        outputs(*names, output=output)


@pytest.mark.parametrize(
    "inputs",
    [
        {"style": ["scream,w.png:0.5"]},
        {"mask": "w.png"},
        {"mask": ("m.png", "w.png")},
        {"model": "w.png"},
        {"weights": "w.png"},
    ],
)
def test_no_input_is_overwritten(inputs):
    for name in ("w.png", "m.png"):
        Path(name).touch()
    Path("link.png").symlink_to("w.png")
    for output in ("w.png", "link.png", "./w.png"):
        with pytest.raises(InputError, match=r"\.png is one of the inputs"):
            outputs("a.jpg", output=output, **inputs)
    assert outputs("a.jpg", output="o.png", **inputs) == ["o.png"]


def test_what_cannot_be_read_is_not_overwritten():
    Path("album").mkdir()
    Path("album/a_wave.png").write_text("notes")
    with pytest.raises(InputError, match=r"a_wave\.png is one of the inputs"):
        outputs("album/a.jpg", given=["album"], output="album")


def test_a_link_is_followed_only_where_a_flag_names_it():
    Path("a_wave.png").symlink_to("new.png")
    with pytest.raises(InputError, match=r"a_wave\.png is a link, and the file that"):
        outputs("a.jpg")
    assert outputs("a.jpg", output="a_wave.png") == ["a_wave.png"]


def test_what_is_there_is_skipped_and_counted(caplog):
    caplog.set_level(logging.INFO)
    assert outputs("a.jpg", "b.jpg", skip_existing=True) == ["a_wave.png", "b_wave.png"]
    Path("b_wave.png").touch()
    # A result that lies beside the photos is none of them.
    names = ("a.jpg", "b.jpg", "b_wave.png")
    assert outputs(*names, skip_existing=True) == ["a_wave.png"]
    Path("a_wave.png").touch()
    # A run that was killed once its result was in place.
    Path(".a_wave.png.nstjax-0123456789abcdef").mkdir()
    assert outputs(*names, "a_wave.png", skip_existing=True) == []
    assert sorted(map(str, Path().iterdir())) == ["a.jpg", "a_wave.png", *names[1:]]
    assert caplog.messages == [
        f"{count} of 2 results are there already and are kept" for count in range(3)
    ]
