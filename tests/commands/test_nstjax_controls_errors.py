"""The controls' errors: bad masks, layers, styles and values, in one line each."""

import pathlib
import shutil

import pytest
from command_lines import (
    FINE,
    MASKED,
    ONE,
    SHALLOW,
    TWO,
    Bad,
    check_refused,
    ids,
    listing,
)

pytestmark = pytest.mark.usefixtures("pictures")


def bad(arguments, says, *flags, prepare=lambda: None):
    return Bad(" ".join(flags) or says, (*arguments, *flags), says, prepare)


BAD_MASKS = [
    bad(
        ONE,
        "the mask of painting.png and the photo's have no region in common: it has "
        "#ffffff, #000000, the photo's #ff0000, #0000ff",
        MASKED,
        "--style_mask=half.png",
    ),
    bad(ONE, "content mask 2 is all black", "--content_mask=left.png+black.png"),
    bad(ONE, "stylize mask is all black", "--stylize_mask=black.png"),
    *(
        bad(ONE, f"{what} looks like a photo, not a mask", *flags)
        for what, *flags in (
            ("content mask", "--content_mask=photo.png"),
            ("style mask of painting.png", MASKED, "--style_mask=painting.png"),
        )
    ),
    *(
        bad(ONE, f"{what} is colored: the mask of one region is grey", *flags)
        for what, *flags in (
            ("stylize mask", "--stylize_mask=photo.png"),
            ("stylize mask", "--stylize_mask=two.png"),
            ("content mask 2", "--content_mask=left.png+photo.png"),
            (
                "style mask of painting.png 1",
                "--content_mask=left.png+right.png",
                "--style_mask=painting.png+half.png",
            ),
        )
    ),
    *(
        bad(ONE, "nowhere.png does not exist", *flags)
        for flags in (
            ("--content_mask=nowhere.png",),
            ("--content_mask=left.png+nowhere.png",),
            (MASKED, "--style_mask=nowhere.png"),
            ("--stylize_mask=nowhere.png",),
        )
    ),
    bad(ONE, ". is a folder", "--content_mask=."),
    bad(ONE, "left.png+ lacks a mask", "--content_mask=left.png+"),
    bad(
        ONE,
        "text.png is not a picture",
        "--stylize_mask=text.png",
        prepare=lambda: pathlib.Path("text.png").write_text("white"),
    ),
    *(
        bad(ONE, f"{flag.partition('=')[0][2:]} needs content_mask", flag)
        for flag in (
            "--style_mask=half.png",
            "--style_mask=none",
            "--style_regions=all",
            "--region_weights=1",
        )
    ),
    *(
        bad(TWO, f"{name} has {count} {what}", MASKED, f"--{name}={value}")
        for name, value, count, what in (
            ("style_mask", "half.png", 1, "entries for 2 style images"),
            ("style_mask", "none,none,none", 3, "entries for 2 style images"),
            ("style_regions", "1", 1, "entries for 2 style images"),
            ("style_regions", "1,2,1", 3, "entries for 2 style images"),
            ("style_regions", "", 0, "entries for 2 style images"),
            ("region_weights", "1", 1, "values for 2 regions"),
            ("region_weights", "1,2,3", 3, "values for 2 regions"),
            ("style_image_layers", "all", 1, "entries for 2 style images"),
            ("style_image_layers", "all,all,all", 3, "entries for 2 style images"),
            ("style_blend_weights", "1", 1, "values for 2 style images"),
            ("style_blend_weights", "1,2,3", 3, "values for 2 style images"),
        )
    ),
    *(
        bad(ONE, "the photo's are 1 (#ff0000), 2 (#0000ff)", MASKED, flag)
        for flag in (
            "--style_regions=green",
            "--style_regions=sky",
            "--style_regions=3",
            "--style_regions=red+",
            "--style_regions=all+sky",
        )
    ),
    bad(ONE, "unknown region 'white': the photo's are 1, 2",
        "--content_mask=left.png+right.png", "--style_regions=white"),
    bad(ONE, "no style image serves region #0000ff", MASKED, "--style_regions=red"),
    bad(
        TWO,
        "no style image that serves region #0000ff has a weight above 0",
        MASKED,
        "--style_blend_weights=1,0",
    ),
    *(
        bad(TWO, "region_weights must be", MASKED, f"--region_weights={value}")
        for value in ("1,-1", "0,0", "1,nan", "1,inf", "1,heavy")
    ),
    *(
        bad(
            ONE,
            f"region {name} is too small for every style layer at 48x36 pixels",
            flag,
            "--style_layers=relu3_1,relu4_1",
        )
        for name, flag in (
            ("2", "--content_mask=left.png+dot.png"),
            ("inside stylize_mask", "--stylize_mask=dot.png"),
        )
    ),
    bad(
        ONE,
        "region #ff0000 is too small for every style layer",
        MASKED,
        "--guide_mode=inside",
        "--guide_dilation=-100",
    ),
    bad(
        ONE,
        "stylize_mask leaves no region that has a weight",
        "--content_mask=left.png",
        "--region_weights=1,0",
        "--stylize_mask=right.png",
    ),
]  # fmt: skip
BAD_LAYERS = [
    bad(TWO, says, f"--style_image_layers={layers}")
    for layers, says in (
        ("relu1_1,relu3_1", "has relu3_1, which is no style layer: those are relu1_1,"),
        ("relu1_1,conv2_1", "has conv2_1, which is no style layer"),
        ("all,relu1_1+", "has , which is no style layer"),
        ("relu1_1,relu1_1", "no style image serves relu2_1"),
    )
] + [
    bad(
        TWO,
        "no style image serves relu2_1",
        "--style_image_layers=relu1_1,relu2_1",
        "--style_blend_weights=1,0",
    )
]
BAD_STYLES = [
    bad(
        ONE,
        "the pyramid's first scale is too small: 2x1 pixels, of which relu3_1 needs 4",
        "--pyramid=2",
        "--pyramid_min_size=2",
        "--style_layers=relu3_1",
    ),
    bad(TWO, "--fine_style goes with one style image", "--fine_style=third.png"),
    bad(
        ONE,
        "--fine_style goes with one style image",
        "--fine_style=third.png",
        "--coarse_style=second.png",
    ),
    bad(
        ("photo.png", *SHALLOW),
        "--coarse_style needs --fine_style",
        "--coarse_style=painting.png",
    ),
    bad(ONE, "--coarse_style needs --fine_style", "--coarse_style=second.png"),
    bad(
        ("photo.png", *SHALLOW),
        "give a photo and a painting",
        "--fine_style=second.png",
    ),
    bad(SHALLOW, "--demo brings its own", "--demo", "--fine_style=second.png"),
    bad(SHALLOW, "--demo brings its own", "--demo", "--coarse_style=second.png"),
    bad(ONE, "nowhere.png does not exist", "--fine_style=nowhere.png"),
    bad(ONE, "unknown layer 'relu9_1'", FINE[0], "--fine_layers=relu9_1"),
    bad(ONE, "layers must be one or more", FINE[0], "--fine_layers_refined="),
    # What is wrong with the transfer is told before the styles are mixed.
    bad(ONE, "2 values for 1 style images", *FINE, "--style_blend_weights=1,2"),
    bad(ONE, "init image has 60x60 pixels", *FINE, "--init=third.png"),
    bad(
        ONE,
        "region inside stylize_mask is too small",
        *(*FINE, "--stylize_mask=dot.png", "--style_layers=relu4_1"),
    ),
]
BAD_VALUES = [
    *(
        bad(ONE, f"flag --{name}=other: value should be one of", f"--{name}=other")
        for name in (
            "style_loss", "tv_form", "color", "color_when", "color_space", "keep",
            "color_match", "luminance_match", "guide_mode", "pyramid_moments",
            "image_padding",
        )
    ),
    bad(ONE, "one of <auto|none|sqrt2|2>", "--pyramid=3"),
    *(
        bad(ONE, f"adam_betas must {says}", f"--adam_betas={value}")
        for value, says in (
            ("0.9", "be two numbers"),
            ("0.9,0.9,0.9", "be two numbers"),
            ("", "be two numbers"),
            ("0.9,high", "be numbers with commas between"),
            ("0.9,1", "lie in 0..1 and be less than 1"),
            ("-0.1,0.9", "lie in 0..1"),
            ("nan,0.9", "lie in 0..1"),
        )
    ),
    *(
        bad(ONE, f"pyramid_steps {says}", f"--pyramid_steps={value}")
        for value, says in (
            ("0", "must be 1 or more"),
            ("5,0", "must be 1 or more"),
            ("many", "must be"),
            ("-3", "must be"),
            ("1.5", "must be"),
            ("", "is empty"),
        )
    ),
    *(
        bad(ONE, f"{name} must", f"--{name}={value}")
        for name, value in (
            ("pyramid_min_size", "0"),
            ("style_scale", "0"),
            ("style_scale", "-1"),
            ("style_scale", "nan"),
            ("style_scale", "21"),
            ("guide_dilation", "1000"),
            ("guide_dilation", "-101"),
            ("average_decay", "1"),
            ("average_decay", "nan"),
        )
    ),
    bad(ONE, "guide_dilation=1.5", "--guide_dilation=1.5"),
    bad(
        ONE,
        "painting.png has 56x72 pixels, of which this run makes 2x2, and is too small "
        "for relu5_1: it needs at least 16 on each side",
        *("--style_scale=0.05", "--style_layers=relu5_1"),
    ),
    *(
        bad(
            ONE,
            f"style_loss={name} draws other samples at every step",
            f"--style_loss={name}",
            f"--optimizer={optimizer}",
        )
        for name, optimizer in (
            ("sliced", "lbfgs"),
            ("mmd-gaussian", "lbfgs-linesearch"),
        )
    ),
]  # fmt: skip
BAD_OUTPUTS = [
    *(
        bad(ONE, f"{output} is one of the inputs", f"--output={output}", *flags)
        for output, *flags in (
            ("two.png", MASKED),
            ("right.png", "--content_mask=left.png+right.png"),
            ("painted.png", MASKED, "--style_mask=painted.png"),
            ("left.png", "--stylize_mask=left.png"),
            ("second.png", *FINE),
        )
    ),
    bad(
        ONE,
        "out.nstjax-style.png is one of the inputs",
        *("--fine_style=out.nstjax-style.png", "--fine_layers=relu1_1"),
        prepare=lambda: shutil.copy("second.png", "out.nstjax-style.png"),
    ),
    bad(
        ONE,
        "out.nstjax-style.png is a folder",
        *FINE,
        prepare=lambda: pathlib.Path("out.nstjax-style.png").mkdir(),
    ),
]


@pytest.mark.parametrize(
    "bad",
    TABLE := [*BAD_MASKS, *BAD_LAYERS, *BAD_STYLES, *BAD_VALUES, *BAD_OUTPUTS],
    ids=ids(TABLE),
)
def test_bad_controls_are_one_line_and_write_nothing(bad, studio, command):
    bad.prepare()
    before = listing(studio)
    status, out, err = command(*bad.arguments)
    assert status == 2
    check_refused(status, out, err, bad.says)
    assert listing(studio) == before
