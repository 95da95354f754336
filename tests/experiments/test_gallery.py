"""The gallery, on small pictures."""

import pathlib

import pytest
from command_lines import check_refused, listing
from PIL import Image
from programs import children_here

from nstjax.io.workdir import begin_folder

GALLERY = "experiments.gallery"
PICTURES = ("photo.png", "painting.png", "second.png", "left.png")
COMMON = (
    "--common=--size=32 --steps=2 --style_layers=relu1_1 --content_layers=relu1_1 "
    "--optimizer=adam"
)


def test_gallery_paints_what_is_not_there(pictures, program):
    folder = pathlib.Path("gallery")
    begin_folder(folder, "gallery", [])
    Image.new("RGB", (32, 24), "red").save(folder / "luminance_YIQ.png")
    with children_here():
        status, out, err = program(
            *(GALLERY, *PICTURES, COMMON, "--workdir=gallery", "--cell=64"),
            '--variants=two regions,"luminance, YIQ"',
        )
    assert status == 0, err
    commands = [line for line in out.splitlines() if line.startswith("nstjax ")]
    assert len(commands) == 2
    assert "glass.png --content_mask=mask.png --output=two_regions.png" in commands[0]
    with Image.open(folder / "two_regions.png") as image:
        assert image.size == (32, 24)
    with Image.open(folder / "luminance_YIQ.png") as image:
        assert image.getcolors() == [(32 * 24, (255, 0, 0))]
    with Image.open(folder / "gallery.jpg") as sheet:
        # Four inputs and the two of them, five in a row.
        assert sheet.width > 5 * 64
        assert sheet.height > 2 * 48

    # It goes on where it has been, and another command does not.
    again = (GALLERY, *PICTURES, "--workdir=gallery", "--variants=two regions")
    status, _, err = program(*again)
    assert status == 0, err
    flags = ("photo.png:painting.png", "--teacher=slim", "--workdir=gallery")
    other = program("experiments.evaluate_features", *flags)
    check_refused(*other, "holds another run: choose another --workdir")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "give --workdir=DIR, and four pictures"),
        (("a.png", "--workdir=w"), "four pictures of yours or none"),
        (("--workdir=w", "--variants=plain,dreams"), "unknown variants dreams"),
        (("--workdir=w", "--common=--size='32"), "No closing quotation"),
        (
            (*PICTURES, "--workdir=w", "--variants=plain", "--common=--size=1"),
            "plain: nstjax: error: photo.png: image of 1x1 pixels is too small",
        ),
    ],
)
def test_bad_gallery_is_one_line(flags, says, studio, pictures, program):
    with children_here():
        check_refused(*program(GALLERY, *flags), says)
    assert not (studio / "w").exists()


@pytest.mark.parametrize(
    "name", ["painting.png", "plain.png", "gallery.jpg", "config.json"]
)
def test_gallery_overwrites_no_file_of_a_person(name, studio, pictures, program):
    folder = studio / "own"
    folder.mkdir()
    (folder / name).write_text("{}")
    before = listing(folder)
    check_refused(*program(GALLERY, *PICTURES, "--workdir=own"), f"own/{name}")
    assert listing(folder) == before
