"""The gallery, on small pictures."""

import numpy as np
import pytest
from command_lines import listing
from PIL import Image
from programs import children_here

from nstjax.io.workdir import begin_folder


@pytest.fixture
def tiny(tmp_path, slim_weights, monkeypatch):
    """Four pictures for a gallery, and weights to be found."""
    monkeypatch.setenv("NSTJAX_WEIGHTS", str(slim_weights))
    random = np.random.default_rng(0)
    for name, size in {"photo": (48, 36), "one": (40, 40), "two": (36, 48)}.items():
        coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(tmp_path / f"{name}.png")
    mask = Image.new("L", (48, 36))
    mask.paste(255, (0, 0, 24, 36))
    mask.save(tmp_path / "mask.png")
    return [tmp_path / f"{name}.png" for name in ("photo", "one", "two", "mask")]


GALLERY = "experiments.gallery"
COMMON = (
    "--common=--size=32 --steps=2 --style_layers=relu1_1 --content_layers=relu1_1 "
    "--optimizer=adam"
)


def test_gallery_paints_what_is_not_there(tiny, tmp_path, program):
    folder = tmp_path / "gallery"
    begin_folder(folder, "gallery", [])
    Image.new("RGB", (32, 24), "red").save(folder / "luminance_YIQ.png")
    with children_here():
        status, out, err = program(
            *(GALLERY, *tiny, COMMON, f"--workdir={folder}", "--cell=64"),
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
    again = (GALLERY, *tiny, f"--workdir={folder}", "--variants=two regions")
    status, _, err = program(*again)
    assert status == 0, err
    pair, flags = f"{tiny[0]}:{tiny[1]}", ("--teacher=slim", f"--workdir={folder}")
    status, _, err = program("experiments.evaluate_features", pair, *flags)
    assert status == 2
    assert "holds another run: choose another --workdir" in err


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "give --workdir=DIR, and four pictures"),
        (("a.png", "--workdir=w"), "four pictures of yours or none"),
        (("--workdir=w", "--variants=plain,dreams"), "unknown variants dreams"),
        (("--workdir=w", "--common=--size='32"), "No closing quotation"),
    ],
)
def test_bad_gallery_is_one_line(flags, says, studio, program):
    status, _, err = program(GALLERY, *flags)
    assert status == 2
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (studio / "w").exists()


def test_a_variant_that_fails_says_why_in_one_line(tiny, tmp_path, program):
    with children_here():
        status, _, err = program(
            *(GALLERY, *tiny, f"--workdir={tmp_path / 'gallery'}"),
            *("--variants=plain", "--common=--size=1"),
        )
    assert status == 2
    assert err.startswith("gallery: error: plain: nstjax: error: ")
    assert "image of 1x1 pixels is too small" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize(
    "name", ["painting.png", "plain.png", "gallery.jpg", "config.json"]
)
def test_gallery_overwrites_no_file_of_a_person(name, tiny, tmp_path, program):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / name).write_text("{}")
    before = listing(folder)
    status, out, err = program(GALLERY, *tiny, f"--workdir={folder}")
    assert (status, out) == (2, "")
    assert f"own/{name}" in err
    assert len(err.splitlines()) == 1
    assert listing(folder) == before
