"""Jobs as the page sends them, and the command lines that they become."""

import shlex

import pytest

from nstjax.errors import InputError
from nstjax.studio.jobs import (
    Nine,
    Painting,
    Restyling,
    command_text,
    pictures_of,
    python_text,
    read_job,
    varied,
)
from nstjax.studio.pictures import Picture, Pictures

PHOTO, STYLE, OTHER, MASK = (character * 20 for character in "abcd")
PAINT = {"type": "paint", "photo": PHOTO, "styles": [{"picture": STYLE}]}
RESTYLE = {"type": "restyle", "photos": [PHOTO], "styles": [{"name": "wave"}]}


@pytest.fixture
def pictures(tmp_path):
    held = Pictures(tmp_path / "a+b, c")
    for key in (PHOTO, STYLE, OTHER, MASK):
        upload = held.new_upload()
        upload.write_bytes(b"picture")
        held.keep(upload, Picture(key, "photo", "x.jpg", ".jpg", 40, 30, 1.0))
    return held


def words(job, pictures):
    return shlex.split(command_text(read_job(job), pictures))


def test_a_painting_is_a_run_of_nstjax(pictures):
    given = {"settings": {"beta": "250.5", "clamp": "true", "size": "long:300"}}
    command = words({**PAINT, **given, "preset": "quick", "seed": 3}, pictures)
    assert command[:1] == ["nstjax"]
    assert command[1:3] == [
        str(pictures.folder / f"{key}.jpg") for key in (PHOTO, STYLE)
    ]
    assert command[3:] == [
        "--preset=quick",
        "--beta=250.5",
        "--clamp=true",
        "--size=long:300",
        "--seed=3",
    ]


def test_paintings_are_mixed_or_have_a_mask_each(pictures):
    two = [{"picture": STYLE, "share": 0.25}, {"picture": OTHER}]
    assert "--style_blend_weights=0.25,1" in words({**PAINT, "styles": two}, pictures)
    masked = {**PAINT, "styles": two, "masks": [MASK, OTHER], "stylize_mask": MASK}
    command = words(masked, pictures)
    # What separates masks has a backslash before it where it is of a path.
    place = str(pictures.folder).replace("+", r"\+")
    assert f"--content_mask={place}/{MASK}.jpg+{place}/{OTHER}.jpg" in command
    assert f"--stylize_mask={pictures.folder}/{MASK}.jpg" in command
    assert pictures_of(read_job(masked)) == [PHOTO, STYLE, OTHER, MASK, OTHER, MASK]
    with pytest.raises(InputError, match="1 masks for 2 paintings"):
        words({**masked, "masks": [MASK]}, pictures)


def test_a_restyling_is_a_run_of_nstjax_fast(pictures):
    job = {**RESTYLE, "strength": 0.5, "refine": 20, "size": "long:800"}
    photo = str(pictures.folder / f"{PHOTO}.jpg")
    assert words(job, pictures) == [
        *("nstjax-fast", photo, "--style=wave", "--size=long:800"),
        *("--strength=0.5", "--refine=20"),
    ]
    two = [{"picture": STYLE, "share": 0.3}, {"picture": OTHER, "share": 2}]
    command = words({**RESTYLE, "styles": two}, pictures)
    place = str(pictures.folder).replace(",", r"\,")
    assert f"--style={place}/{STYLE}.jpg:0.3" in command
    assert f"--style={place}/{OTHER}.jpg:2" in command


def test_python_says_the_same(pictures):
    job = {**PAINT, "preset": "quick", "settings": {"beta": "5", "size": "long:300"}}
    text = python_text(read_job(job), pictures, tile=64)
    compile(text, "copied", "exec")
    for part in (
        "load_params('slim')",
        "'quick',",
        "beta=5.0,",
        "size='long:300',",
        "tile=64,",
    ):
        assert part in text


def test_nine_vary_what_the_preset_or_the_job_has():
    painting = {**PAINT, "preset": "gatys-code", "settings": {"beta": "50"}}
    job = read_job({"type": "nine", "painting": painting})
    assert isinstance(job, Nine)
    assert varied(job.painting, 10, 0.5) == {"beta": 500.0, "style_scale": 0.5}
    assert varied(job.painting, 0.01, 1) == {"beta": 0.5, "style_scale": 1.0}
    painting["settings"]["init"] = "fast"
    job = read_job({"type": "nine", "painting": painting})
    assert varied(job.painting, 10, 1).get("init") is None
    assert varied(job.painting, 0.01, 1)["init"] == "content"
    assert isinstance(read_job(PAINT), Painting)
    assert isinstance(read_job(RESTYLE), Restyling)


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ({}, "no job that is known"),
        ({**PAINT, "photo": "../../etc/passwd"}, "no job that is known"),
        ({**PAINT, "unknown": 1}, "no job that is known"),
        ({**PAINT, "preset": "best"}, "unknown preset 'best'"),
        ({**PAINT, "settings": {"workdir": "/tmp"}}, "unknown setting 'workdir'"),
        ({**PAINT, "settings": {"beta": "-1"}}, "beta must be a finite number"),
        ({**PAINT, "settings": {"steps": "many"}}, "give a whole number"),
        ({**PAINT, "settings": {"clamp": "maybe"}}, "give true or false"),
        ({**PAINT, "settings": {"init": "/etc/passwd"}}, "init must be one of"),
        ({**RESTYLE, "styles": []}, "no job that is known"),
        ({**RESTYLE, "styles": [{"name": "--output=/x"}]}, "no job that is known"),
        ({**RESTYLE, "size": "huge"}, "size"),
    ],
)
def test_what_is_no_job_is_refused(job, says):
    with pytest.raises(InputError, match=says):
        read_job(job)


@pytest.mark.parametrize(
    ("styles", "says"),
    [
        ([{"name": "wave"}], "to paint, add the painting"),
        ([{}], "give one of them"),
        ([{"picture": STYLE, "name": "wave"}], "give one of them"),
        ([{"picture": "e" * 20}], "no picture eeee"),
    ],
)
def test_what_cannot_be_painted_is_refused(styles, says, pictures):
    with pytest.raises(InputError, match=says):
        command_text(read_job({**PAINT, "styles": styles}), pictures)
