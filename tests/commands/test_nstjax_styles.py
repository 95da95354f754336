"""The command's styles: mixed scales, shares of layers, sizes, losses, steps."""

import pathlib
import shutil

import numpy as np
import pytest
from command_lines import (
    FINE,
    MASKED,
    ONE,
    REGIONS,
    SHALLOW,
    TWO,
    good,
    listing,
    metrics,
    painted,
    settings,
)
from forked import run_forked
from PIL import Image
from style_distances import LOSSES, SAMPLED

import nstjax
import nstjax.commands.transfer

pytestmark = pytest.mark.usefixtures("pictures")

# One layer of a small picture, where neither matters.
FIRST = ("--style_layers=relu1_1", "--content_layers=relu1_1")
FLAT = (*FIRST, "--size=24")
FINE_ALONE = (*FINE, "--fine_layers_refined=relu1_1")
MIXED = (*ONE, *FIRST, *FINE_ALONE)
PYRAMID = ("--pyramid=2", "--pyramid_min_size=24", "--pyramid_steps=2")


def test_fine_and_coarse_style_make_a_style_image_first(command):
    # As large as the photo: one size of programs serves both.
    Image.open("painting.png").resize((64, 48)).save("painting.png")
    out = good(command, *MIXED, *PYRAMID, "--snapshots=4", "--montage")
    lines = out.splitlines()
    # The painting's long side becomes that of the photo at each scale.
    assert lines[0] == "nstjax: mixing styles, 24x18 pixels, 2 steps"
    assert lines[1] == "nstjax: mixing styles, 48x36 pixels, 2 steps"
    assert lines[2] == "nstjax: wrote out.nstjax-style.png, the mixed style"
    assert "24x18 pixels, 2 steps, then 48x36 pixels, 2 steps of adam" in lines[3]
    style = nstjax.read_image("out.nstjax-style.png")
    assert style.shape == (36, 48, 3)
    # As high as the photo there.
    shown = nstjax.read_image("out_montage.png")[:, -48:]
    np.testing.assert_allclose(shown, style, atol=0.02)
    # The mixed image is the style of an ordinary transfer.
    result = pathlib.Path("out.png").read_bytes()
    shutil.move("out.nstjax-style.png", "mixed.png")
    good(command, "photo.png", "mixed.png", *SHALLOW, *FIRST, *PYRAMID)
    assert pathlib.Path("out.png").read_bytes() == result
    coarse = ("photo.png", "--coarse_style=painting.png", *SHALLOW, *FIRST)
    good(command, *coarse, *FINE_ALONE, *PYRAMID, "--output=again.png")
    assert pathlib.Path("again.png").read_bytes() == result
    # A photo goes out as a JPEG, but what is used is kept whole.
    good(command, *MIXED, *PYRAMID, "--output=third.jpg")
    assert pathlib.Path("third.nstjax-style.png").exists()


def test_an_interrupt_while_styles_are_mixed_ends_without_a_result(studio):
    before = listing(studio)
    code = """
import signal, sys, time
from nstjax.commands import nstjax as cli
from nstjax.runs import session
def progress_text(info):
    signal.raise_signal(signal.SIGINT)
    time.sleep(60)
session.progress_text = progress_text
sys.argv[0] = "nstjax"
cli.run()
"""
    status, _, err = run_forked(code, *MIXED, "--workdir=run", "--steps=50")
    assert (status, err) == (130, "nstjax: interrupted\n")
    assert listing(studio) == before


def test_a_run_that_is_killed_while_styles_are_mixed_goes_on(
    studio, command, monkeypatch
):
    arguments = (*MIXED, "--workdir=run")

    def killed(path, image):
        write_image(path, image)
        raise ZeroDivisionError

    write_image = nstjax.write_image
    with monkeypatch.context() as patched:
        patched.setattr(nstjax.commands.transfer, "write_image", killed)
        with pytest.raises(ZeroDivisionError):
            command(*arguments)
    good(command, *arguments, "--resume")
    resumed = pathlib.Path("out.png").read_bytes()
    good(command, *MIXED)
    assert pathlib.Path("out.png").read_bytes() == resumed


def test_a_layer_is_served_by_the_paintings_that_it_is_given_to(command):
    def losses(*arguments):
        shutil.rmtree("run", ignore_errors=True)
        painted(command, "photo.png", *arguments, *SHALLOW, "--workdir=run")
        return metrics("run")[0]["style_layers"]

    names = "painting.png", "second.png"
    first, second = losses(names[0]), losses(names[1])
    both = losses(*names)
    assert both not in (first, second)
    given = losses(*names, "--style_image_layers=relu1_1,relu2_1")
    assert given == {"relu1_1": first["relu1_1"], "relu2_1": second["relu2_1"]}
    given = losses(*names, "--style_image_layers=all, relu2_1")
    assert given == {"relu1_1": first["relu1_1"], "relu2_1": both["relu2_1"]}
    assert losses(*names, "--style_image_layers=relu1_1+relu2_1,all") == both
    assert settings("run")["style_image_layers"] == [["relu1_1", "relu2_1"], None]


def test_style_scale_is_the_size_of_the_painting_beside_the_photo(command):
    # Half the scale at twice the size is the painting at the same size.
    halved = ("--style_scale=0.5", "--init=style", "--snapshots=0")
    plain = painted(command, *ONE, *FIRST)
    assert (painted(command, *ONE, *FIRST, *halved) != plain).any()
    status, out, _ = command(*MIXED, "--style_scale=0.5")
    assert status == 0
    assert "mixing styles, 18x24 pixels" in out
    assert nstjax.read_image("out.nstjax-style.png").shape == (24, 18, 3)


def test_average_is_the_last_image_where_nothing_is_remembered(command):
    last = painted(command, *ONE, *FLAT)
    average = painted(command, *ONE, *FLAT, "--keep=average")
    assert (average != last).any()
    forgetful = ("--keep=average", "--average_decay=0")
    image = painted(command, *ONE, *FLAT, *forgetful)
    np.testing.assert_array_equal(image, last)


def test_normalized_gradients_change_the_steps_and_not_the_losses(command):
    flags = (*FLAT, "--optimizer=lbfgs", "--learning_rate=0.5")
    plain = painted(command, *ONE, *flags, "--workdir=plain")
    image = painted(
        *(command, *ONE, *flags, "--normalize_gradients", "--workdir=normalized")
    )
    assert (image != plain).any()
    first, second = (metrics(folder)[0] for folder in ("plain", "normalized"))
    assert first["total"] == pytest.approx(second["total"], rel=1e-6)
    assert first["gradient_norm"] != pytest.approx(second["gradient_norm"], rel=0.01)


@pytest.mark.parametrize(
    "style_loss",
    # Pairs compile for long, and are drawn as what is sorted is.
    [
        pytest.param(name, marks=pytest.mark.slow if "gaussian" in name else ())
        for name in LOSSES
    ],
)
def test_every_style_loss_paints(style_loss, command):
    # The preset's L-BFGS gives way where a loss is sampled. All compile slowly: they
    # get one layer, one of them has regions, and one of them L-BFGS. What is drawn from
    # a small picture varies more than three steps change.
    sampled, masked = style_loss in SAMPLED, style_loss == "moments"
    adam = sampled or style_loss != "gram"
    flags = [*(TWO if masked else ONE), *FLAT]
    flags += ["--size=48"] if sampled else []
    if sampled or not adam:
        flags = [flag for flag in flags if not flag.startswith("--optimizer")]
    flags += [MASKED] if masked else []
    status, out, err = command(
        *(*flags, f"--style_loss={style_loss}", "--workdir=run", "--steps=3")
    )
    notes = REGIONS.format("painting.png", "second.png") if masked else ""
    assert (status, err) == (0, notes)
    assert f"3 steps of {'adam' if adam else 'lbfgs'};" in out
    assert settings("run")["style_loss"] == style_loss
    rows = metrics("run")
    assert all(np.isfinite(row["total"]) for row in rows)
    assert rows[-1]["style"] < rows[0]["style"]
