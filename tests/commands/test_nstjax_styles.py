"""The command's styles: mixed scales, shares of layers, sizes, losses, steps."""

import pathlib
import shutil

import numpy as np
import pytest
from command_lines import (
    FINE,
    ONE,
    SHALLOW,
    good,
    listing,
    metrics,
    painted,
    result,
    settings,
)
from PIL import Image
from session_runs import run_patched
from style_distances import LOSSES

import nstjax
import nstjax.commands.transfer

pytestmark = pytest.mark.usefixtures("pictures")

# One layer of a small picture, where neither matters.
FIRST = ("--style_layers=relu1_1", "--content_layers=relu1_1")
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
    expected = pathlib.Path("out.png").read_bytes()
    shutil.move("out.nstjax-style.png", "mixed.png")
    first = ("photo.png", *SHALLOW, *FIRST, *PYRAMID)
    assert result(command, *first, "mixed.png") == expected
    coarse = ("--coarse_style=painting.png", *FINE_ALONE)
    assert result(command, *first, *coarse) == expected


def test_an_interrupt_while_styles_are_mixed_ends_without_a_result(studio):
    before = listing(studio)
    body = "signal.raise_signal(signal.SIGINT)\ntime.sleep(60)"
    flags = (*MIXED, "--workdir=run", "--steps=50")
    status, _, err = run_patched("progress_text", body, *flags)
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
    resumed = result(command, *arguments, "--resume")
    assert result(command, *MIXED) == resumed


def test_a_layer_is_served_by_the_paintings_that_it_is_given_to(command):
    def losses(*arguments):
        shutil.rmtree("run", ignore_errors=True)
        painted(command, "photo.png", *arguments, *SHALLOW, "--workdir=run")
        return metrics("run")[0]["style_layers"]

    names = "painting.png", "second.png"
    first, both = losses(names[0]), losses(*names)
    given = losses(*names, "--style_image_layers=all, relu2_1")
    assert given == {"relu1_1": first["relu1_1"], "relu2_1": both["relu2_1"]}
    assert losses(*names, "--style_image_layers=relu1_1+relu2_1,all") == both != first
    assert settings("run")["style_image_layers"] == [["relu1_1", "relu2_1"], None]


@pytest.mark.parametrize(
    "style_loss",
    # Pairs compile for long, and are drawn as what is sorted is.
    [
        pytest.param(name, marks=pytest.mark.slow if "gaussian" in name else ())
        for name in LOSSES
    ],
)
def test_every_style_loss_paints(style_loss, command):
    # What is drawn from a small picture, and which pairs, vary more than three steps
    # change.
    steps = 20 if "gaussian" in style_loss else 3
    flags = (*FIRST, f"--style_loss={style_loss}", f"--steps={steps}")
    good(command, *ONE, *flags, "--workdir=run")
    assert settings("run")["style_loss"] == style_loss
    rows = metrics("run")
    assert all(np.isfinite(row["total"]) for row in rows)
    assert rows[-1]["style"] < rows[0]["style"]
