"""The controls' errors: bad masks, layers, styles and values, in one line each."""

import pathlib
import shutil

import pytest
from command_lines import FINE, MASKED, ONE, SHALLOW, TWO, check_bad

pytestmark = pytest.mark.usefixtures("pictures")

MASKS = [
    (
        "--content_mask=left.png+right.png --style_mask=painting.png+half.png",
        "style mask of painting.png 1 is colored",
    ),
    (f"{MASKED} --style_mask=nowhere.png", "nowhere.png does not exist"),
    ("--stylize_mask=nowhere.png", "nowhere.png does not exist"),
    ("--content_mask=.", ". is a folder"),
    ("--content_mask=left.png+", "left.png+ lacks a mask"),
    ("--style_mask=none", "style_mask needs content_mask"),
    (f"{MASKED} --style_regions=all+sky", "the photo's are 1 (#ff0000), 2 (#0000ff)"),
    (
        "--stylize_mask=dot.png --style_layers=relu4_1",
        "inside stylize_mask is too small",
    ),
    (f"{MASKED} --guide_mode=inside --guide_dilation=-100", "region #ff0000 is too sm"),
    (
        "--content_mask=left.png --region_weights=1,0 --stylize_mask=right.png",
        "stylize_mask leaves no region that has a weight",
    ),
]
OF_TWO_STYLES = [
    (f"{MASKED} --style_regions=", "style_regions has 0 entries for 2 style images"),
    (f"{MASKED} --style_blend_weights=1,0", "that serves region #0000ff has a weight"),
    (f"{MASKED} --region_weights=1,heavy", "region_weights must be"),
    ("--style_image_layers=all,relu1_1+", "has , which is no style layer"),
    (
        "--style_image_layers=relu1_1,relu2_1 --style_blend_weights=1,0",
        "no style image serves relu2_1",
    ),
    ("--fine_style=third.png", "--fine_style goes with one style image"),
]
STYLES = [
    ("--fine_style=third.png --coarse_style=second.png", "goes with one style image"),
    ("--coarse_style=second.png", "--coarse_style needs --fine_style"),
    ("--fine_style=nowhere.png", "nowhere.png does not exist"),
    (f"{FINE[0]} --fine_layers=relu9_1", "unknown layer 'relu9_1'"),
    (f"{FINE[0]} --fine_layers_refined=", "layers must be one or more"),
    # What is wrong with the transfer is told before the styles are mixed.
    (f"{' '.join(FINE)} --style_blend_weights=1,2", "2 values for 1 style images"),
    (f"{' '.join(FINE)} --init=third.png", "init image has 60x60 pixels"),
    (
        "--style_scale=0.05 --style_layers=relu5_1",
        "painting.png has 56x72 pixels, of which this run makes 2x2, and is too small "
        "for relu5_1: it needs at least 16 on each side",
    ),
]
VALUES = [
    ("--style_loss=other", "flag --style_loss=other: value should be one of"),
    ("--pyramid=3", "one of <auto|none|sqrt2|2>"),
    ("--adam_betas=", "adam_betas must be two numbers"),
    ("--adam_betas=0.9,high", "adam_betas must be numbers with commas between"),
    ("--pyramid_steps=-3", "pyramid_steps must be whole numbers"),
    ("--guide_dilation=1.5", "guide_dilation=1.5"),
    ("--style_loss=sliced --optimizer=lbfgs", "sliced draws other samples at every st"),
]
OUTPUTS = [
    (f"{MASKED} --output=two.png", "two.png is one of the inputs"),
    ("--content_mask=left.png+right.png --output=right.png", "right.png is one of the"),
    (f"{MASKED} --style_mask=painted.png --output=painted.png", "painted.png is one"),
    ("--stylize_mask=left.png --output=left.png", "left.png is one of the inputs"),
    (f"{' '.join(FINE)} --output=second.png", "second.png is one of the inputs"),
]
WITHOUT_PAINTING = [
    ("photo.png --coarse_style=painting.png", "--coarse_style needs --fine_style"),
    ("photo.png --fine_style=second.png", "give a photo and a painting"),
    ("--demo --fine_style=second.png", "--demo brings its own"),
    ("--demo --coarse_style=second.png", "--demo brings its own"),
]
TABLE = [
    *((ONE, *case) for case in (*MASKS, *STYLES, *VALUES, *OUTPUTS)),
    *((TWO, *case) for case in OF_TWO_STYLES),
    *((SHALLOW, *case) for case in WITHOUT_PAINTING),
]


@pytest.mark.parametrize(("base", "flags", "says"), TABLE)
def test_bad_controls_are_one_line_and_write_nothing(base, flags, says, command):
    check_bad(command, *base, *flags.split(), says=says)


def test_what_is_in_the_place_of_the_mixed_style(command):
    shutil.copy("second.png", "out.nstjax-style.png")
    flags = ("--fine_style=out.nstjax-style.png", "--fine_layers=relu1_1")
    check_bad(command, *ONE, *flags, says="out.nstjax-style.png is one of the inputs")
    pathlib.Path("out.nstjax-style.png").unlink()
    pathlib.Path("out.nstjax-style.png").mkdir()
    check_bad(command, *ONE, *FINE, says="out.nstjax-style.png is a folder")
