"""The command's controls: masks, colors, pyramids, mixed scales, style statistics."""

import hashlib
import json
import pathlib
import shutil
import signal
import time
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab, rgb2yiq
from test_cli import Bad, check_refused, ids, listing

import nstjax
from nstjax import session
from nstjax.preset import GuideMode, Preset
from nstjax.style_losses import SAMPLED, StyleLoss

# Two blocks of the network, which compile at once. Later flags win.
BASE = (
    "--output=out.png", "--size=48", "--steps=2", "--quiet", "--optimizer=adam",
    "--content_layers=relu2_1", "--style_layers=relu1_1,relu2_1",
)  # fmt: skip
ONE = ("photo.png", "painting.png", *BASE)
TWO = ("photo.png", "painting.png", "second.png", *BASE)
PYRAMID = ("--pyramid=2", "--pyramid_min_size=24", "--pyramid_steps=2")
# One update by the gradients of the first layer's style alone.
ONCE = ("--steps=1", "--style_layers=relu1_1", "--content_layers=relu1_1", "--alpha=0")


def halves(path, size, left, right):
    """A picture whose left half has one color and whose right half another."""
    picture = Image.new("RGB", size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    picture.save(path)


@pytest.fixture(autouse=True)
def pictures(studio):
    """Masks of photo.png (64x48) and painting.png (56x72), and other paintings."""
    photo, painting = (64, 48), (56, 72)
    halves("two.png", photo, "red", "blue")
    halves("left.png", photo, "white", "black")
    halves("right.png", photo, "black", "white")
    halves("painted.png", painting, "red", "blue")
    halves("half.png", painting, "white", "black")
    for name in ("white", "black"):
        Image.new("RGB", photo, name).save(f"{name}.png")
    dot = Image.new("RGB", photo)
    dot.paste("white", (30, 20, 33, 23))
    dot.save("dot.png")
    Image.linear_gradient("L").resize(photo).save("ramp.png")
    random = np.random.default_rng(5)
    for name in ("second.png", "third.png"):
        coarse = Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8))
        coarse.resize((60, 60)).save(name)


def bad(arguments, says, *flags, prepare=lambda: None):
    return Bad(" ".join(flags) or says, (*arguments, *flags), says, prepare)


MASKED = "--content_mask=two.png"
FINE = ("--fine_style=second.png", "--fine_layers=relu1_1")
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
        "the pyramid's first scale is too small: image of 2x1 pixels is too small for "
        "relu3_1",
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
        ("photo.png", *BASE),
        "--coarse_style needs --fine_style",
        "--coarse_style=painting.png",
    ),
    bad(ONE, "--coarse_style needs --fine_style", "--coarse_style=second.png"),
    bad(("photo.png", *BASE), "give a photo and a painting", "--fine_style=second.png"),
    bad(BASE, "--demo brings its own", "--demo", "--fine_style=second.png"),
    bad(BASE, "--demo brings its own", "--demo", "--coarse_style=second.png"),
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
        "image of 2x2 pixels is too small for relu5_1",
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
        "out_style.png is one of the inputs",
        *("--fine_style=out_style.png", "--fine_layers=relu1_1"),
        prepare=lambda: shutil.copy("second.png", "out_style.png"),
    ),
    bad(
        ONE,
        "out_preview.png is one of the inputs",
        "--stylize_mask=out_preview.png",
        prepare=lambda: shutil.copy("left.png", "out_preview.png"),
    ),
    bad(
        ONE,
        "out_style.png is a folder",
        *FINE,
        prepare=lambda: pathlib.Path("out_style.png").mkdir(),
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


def painted(command, *arguments, notes=""):
    """The result of a command that has nothing but these notes to say."""
    status, _, err = command(*arguments)
    assert (status, err) == (0, notes)
    return nstjax.read_image("out.png")


# What eight bits lose.
HALF = 0.501 / 255


def photo():
    return nstjax.resize(nstjax.read_image("photo.png"), 36, 48)


def metrics(folder):
    lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def settings(folder):
    return json.loads(pathlib.Path(folder, "config.json").read_text())["settings"]


# --- regions ------------------------------------------------------------------------

REGIONS = (
    "nstjax: note: region #ff0000 (50 % of the photo): {0}; region #0000ff (50 %): "
    "{1}\n"
)


def test_each_painting_serves_the_region_in_its_place(command):
    def left_and_right(second, *flags):
        image = painted(
            *(command, "photo.png", "painting.png", second, *BASE, *ONCE, MASKED),
            *flags,
            notes=REGIONS.format("painting.png", second),
        )
        # The gradient reaches one pixel further than the region.
        return image[:, :23], image[:, 25:]

    left, right = left_and_right("second.png")
    other_left, other_right = left_and_right("third.png")
    np.testing.assert_array_equal(left, other_left)
    assert (right != other_right).mean() > 0.1
    assert np.abs(left - photo()[:, :23]).mean() > 1 / 255


def test_regions_are_given_by_color_and_by_number(command):
    def served(first, second, *flags):
        status, _, err = command(
            *("photo.png", "painting.png", "second.png", *BASE, MASKED, *flags)
        )
        assert (status, err) == (0, REGIONS.format(first, second))
        return pathlib.Path("out.png").read_bytes()

    names = "painting.png", "second.png"
    in_order = served(*names)
    for regions in ("red,blue", "1,2", "#f00000, #0000ff", "1, blue"):
        assert served(*names, f"--style_regions={regions}") == in_order
    crossed = served(*names[::-1], "--style_regions=2,red")
    assert crossed != in_order
    both = served("painting.png", ", ".join(names), "--style_regions=all,blue")
    assert both not in (in_order, crossed)
    assert served(*names, "--region_weights=2,2") == in_order
    assert served(*names, "--region_weights=2,1") != in_order


def test_a_region_of_no_weight_stays_as_it_is(command):
    image = painted(
        *(command, *TWO, *ONCE, MASKED, "--region_weights=1,0"),
        notes=REGIONS.format("painting.png", "second.png"),
    )
    np.testing.assert_allclose(image[:, 25:], photo()[:, 25:], atol=HALF)
    assert np.abs(image - photo())[:, :23].mean() > 1 / 255


def test_a_styles_mask_says_what_of_it_counts(command):
    # The first painting is red on its left and blue on its right, as its mask is.
    picture = Image.open("painting.png")
    other = picture.copy()
    other.paste("yellow", (44, 0, 56, 72))
    other.save("other.png")
    flags = ("--content_mask=white.png", "--style_mask=half.png")
    notes = (
        "nstjax: note: the photo's mask has no region #000000: ignored in the mask of "
        "{0}\nnstjax: note: region #ffffff (100 % of the photo): {0}\n"
    )
    images = [
        painted(*(command, "photo.png", name, *BASE, *mask), notes=said.format(name))
        for name in ("painting.png", "other.png")
        for mask, said in ((flags, notes), ((), ""))
    ]
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[1] != images[3]).any()
    assert (images[0] != images[1]).any()


def test_grey_masks_may_leave_a_part_of_the_photo_and_overlap(command):
    halves("quarter.png", (32, 48), "white", "black")
    picture = Image.new("RGB", (64, 48))
    picture.paste(Image.open("quarter.png"))
    picture.save("quarter.png")
    image = painted(
        *(command, *TWO, *ONCE, "--content_mask=quarter.png+left.png"),
        *("--style_mask=none,half.png+white.png", "--style_regions=2,1+2"),
        notes="nstjax: note: style mask of second.png 2 is 64x48, the first 56x72: "
        "resized\n"
        "nstjax: note: style mask of second.png is 56x72, its picture 60x60: resized\n"
        "nstjax: note: region 1 (25 % of the photo): second.png; region 2 (50 %): "
        "painting.png, second.png\n",
    )
    np.testing.assert_allclose(image[:, 25:], photo()[:, 25:], atol=HALF)
    assert np.abs(image - photo())[:, :23].mean() > 1 / 255


def test_a_mask_of_another_size_is_resized_with_a_note(command):
    halves("wide.png", (200, 60), "red", "blue")
    plain = painted(
        *(command, *TWO, MASKED), notes=REGIONS.format("painting.png", "second.png")
    )
    image = painted(
        *(command, *TWO, "--content_mask=wide.png"),
        notes="nstjax: note: content mask is 200x60, its picture 64x48: resized\n"
        + REGIONS.format("painting.png", "second.png"),
    )
    assert np.abs(image - plain).mean() < 0.002 < np.abs(image - photo()).mean()


@pytest.mark.parametrize("mode", get_args(GuideMode))
def test_guide_modes_and_dilations_are_different_guides(mode, command):
    def image(*flags):
        notes = REGIONS.format("painting.png", "second.png")
        return painted(command, *TWO, MASKED, *flags, notes=notes)

    found = image(f"--guide_mode={mode}")
    assert (found != image(f"--guide_mode={mode}", "--guide_dilation=2")).any()
    if mode != "simple":
        assert (found != image()).any()


def test_a_layer_that_is_too_deep_for_a_region_is_left_out_with_a_note(command):
    painted(
        *(command, *TWO, "--content_mask=dot.png+white.png", "--workdir=run"),
        *("--style_layers=relu1_1,relu3_1",),
        notes="nstjax: note: region 1 (0 % of the photo): painting.png; region 2 "
        "(100 %): second.png\n"
        "nstjax: note: region 1 is too small for relu3_1 at 48x36 pixels: left "
        "out there\n",
    )
    assert list(metrics("run")[0]["style_layers"]) == ["relu1_1", "relu3_1"]


# --- what is painted, and in whose colors -------------------------------------------


def test_outside_the_stylize_mask_the_photo_stays(command):
    plain = painted(command, *ONE)
    for flags in ((), ("--init=noise",), ("--color=luminance",)):
        image = painted(command, *ONE, "--stylize_mask=left.png", *flags)
        np.testing.assert_allclose(image[:, 24:], photo()[:, 24:], atol=HALF)
        assert np.abs(image - photo())[:, :24].mean() > 1 / 255
        assert (image[:, :24] != plain[:, :24]).any()
    # All of the photo is what there is without a mask.
    image = painted(command, *ONE, "--stylize_mask=white.png")
    np.testing.assert_allclose(image, plain, atol=1.01 / 255)


def test_a_soft_stylize_mask_fades_to_the_photo(command):
    image = painted(command, *ONE, "--stylize_mask=ramp.png", "--init=style")
    share = nstjax.resize(nstjax.read_image("ramp.png"), 36, 48, "box")
    difference = np.abs(image - photo())
    # Shares of 0.95 and more count as 1.
    assert (difference <= share[:, :, :1] + HALF + 0.05).all()
    rows = difference.mean((1, 2))
    assert rows[0] < 0.01 < rows[18] < rows[35]


def test_regions_outside_the_stylize_mask_are_left_out(command):
    only = painted(command, *ONE, "--stylize_mask=left.png")
    image = painted(
        *(command, *TWO, MASKED, "--stylize_mask=left.png"),
        notes=REGIONS.format("painting.png", "second.png")
        + "nstjax: note: region #0000ff is outside stylize_mask: left out\n",
    )
    np.testing.assert_array_equal(image, only)


COLORS = [
    *(
        f"--color=luminance --color_space={space} --color_when={when}"
        for space in ("yiq", "lab", "hcl")
        for when in ("before", "after")
    ),
    "--color=luminance --luminance_match=mean",
    *(
        f"--color=match --color_match={match}"
        for match in ("cholesky", "pca", "symmetric", "histogram")
    ),
    "--color=match --color_when=after",
    "--color=match --color_match=histogram --color_when=after",
]


def in_gamut(image):
    """Pixels whose channels were not cut."""
    return ((image > 0.02) & (image < 0.98)).all(axis=2)


@pytest.mark.parametrize("color", COLORS)
def test_colors(color, command):
    plain = painted(command, *ONE, "--init=style")
    image = painted(command, *ONE, "--init=style", *color.split())
    assert np.abs(image - plain).mean() > 0.01
    if "match" in color.split("=")[1]:
        # Both come from all pixels: the photo's mean color, but for what is cut.
        away = np.abs(image.mean((0, 1)) - photo().mean((0, 1))).max()
        assert away < 0.02 < np.abs(plain.mean((0, 1)) - photo().mean((0, 1))).max()
        return
    inside = in_gamut(image)
    assert inside.mean() > 0.3
    if "yiq" in color or "space" not in color:
        # Eight bits lose 0.0012 of I and Q at the most.
        chroma = [rgb2yiq(picture)[inside][:, 1:] for picture in (image, photo())]
        np.testing.assert_allclose(*chroma, atol=0.003)
    elif "lab" in color:
        chroma = [rgb2lab(picture)[inside][:, 1:] for picture in (image, photo())]
        assert np.abs(chroma[0] - chroma[1]).mean() < 0.6
    else:
        # The hue stays, and the chroma is the photo's or lower.
        a, b = (rgb2lab(picture)[inside][:, 1:] for picture in (image, photo()))
        assert (np.linalg.norm(a, axis=1) < np.linalg.norm(b, axis=1) + 3).all()
        colorful = np.linalg.norm(a, axis=1) > 10
        assert colorful.mean() > 0.3
        turned = (a @ [1, 1j] / (b @ [1, 1j]))[colorful]
        assert np.abs(np.angle(turned, deg=True)).max() < 8


@pytest.mark.parametrize("color", ["", *COLORS])
def test_grey_pictures_and_pictures_of_one_color_have_colors_too(color, command):
    for name in ("photo", "painting"):
        Image.open(f"{name}.png").convert("L").save(f"{name}_grey.png")
    for content, style in (
        ("photo.png", "painting_grey.png"),
        ("photo_grey.png", "painting.png"),
        ("photo_grey.png", "painting_grey.png"),
        ("white.png", "black.png"),
    ):
        image = painted(command, content, style, *BASE, *color.split())
        if "luminance" in color and content != "photo.png":
            assert np.ptp(image, axis=2).max() <= 1.01 / 255


# --- mixed scales, shares of layers, sizes ------------------------------------------


def mixed(command, *arguments):
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    return out


def test_fine_and_coarse_style_make_a_style_image_first(command):
    out = mixed(command, *ONE, *FINE, *PYRAMID, "--snapshots=4", "--montage")
    lines = out.splitlines()
    # The painting is 56x72: its long side becomes that of the photo at each scale.
    assert lines[0] == "nstjax: mixing styles, 18x24 pixels, 2 steps"
    assert lines[1] == "nstjax: mixing styles, 37x48 pixels, 2 steps"
    assert lines[2] == "nstjax: wrote out_style.png, the mixed style"
    assert "24x18 pixels, 2 steps, then 48x36 pixels, 2 steps of adam" in lines[3]
    style = nstjax.read_image("out_style.png")
    assert style.shape == (48, 37, 3)
    shown = nstjax.read_image("out_montage.png")[:, -37:]
    np.testing.assert_allclose(shown, style, atol=0.004)
    # The mixed image is the style of an ordinary transfer.
    result = pathlib.Path("out.png").read_bytes()
    shutil.move("out_style.png", "mixed.png")
    mixed(command, "photo.png", "mixed.png", *BASE, *PYRAMID)
    assert pathlib.Path("out.png").read_bytes() == result
    coarse = ("photo.png", "--coarse_style=painting.png", *BASE)
    mixed(command, *coarse, *FINE, *PYRAMID, "--output=again.png")
    assert pathlib.Path("again.png").read_bytes() == result
    # A photo goes out as a JPEG, but what is used is kept whole.
    mixed(command, *ONE, *FINE, "--output=third.jpg")
    assert pathlib.Path("third_style.png").exists()


def test_a_resumed_run_takes_the_mixed_style_that_it_has(command, monkeypatch):
    flags = (*ONE, *FINE, "--workdir=run", "--checkpoint_every=1")
    out = mixed(command, *flags)
    assert "wrote run/style.png, the mixed style" in out
    result = pathlib.Path("out.png").read_bytes()
    style = pathlib.Path("run/style.png").read_bytes()
    assert settings("run")["image_sha256"].keys() == {
        "content", "style_1", "fine_style"
    }  # fmt: skip
    pathlib.Path("out.png").unlink()
    out = mixed(command, *flags, "--resume")
    assert "mixing" not in out
    assert pathlib.Path("out.png").read_bytes() == result
    # Without it, it is made again.
    pathlib.Path("run/style.png").unlink()
    assert "wrote run/style.png" in mixed(command, *flags, "--resume")
    assert pathlib.Path("run/style.png").read_bytes() == style
    shutil.copy("third.png", "second.png")
    status, _, err = command(*flags, "--resume")
    assert status == 2
    assert "image_sha256 was" in err


def test_a_layer_is_served_by_the_paintings_that_it_is_given_to(command):
    def losses(*arguments):
        shutil.rmtree("run", ignore_errors=True)
        painted(command, "photo.png", *arguments, *BASE, "--workdir=run")
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


def test_layers_and_regions_together(command):
    painted(
        *(command, *TWO, MASKED, "--style_image_layers=relu1_1,relu2_1"),
        "--workdir=run",
        notes=REGIONS.format("painting.png", "second.png"),
    )
    assert list(metrics("run")[0]["style_layers"]) == ["relu1_1", "relu2_1"]


def test_style_scale_is_the_size_of_the_painting_beside_the_photo(command):
    # Half the scale at twice the size is the painting at the same size.
    halved = ("--style_scale=0.5", "--init=style", "--snapshots=0")
    plain = painted(command, *ONE)
    assert (painted(command, *ONE, *halved) != plain).any()
    status, out, _ = command(*ONE, *FINE, "--style_scale=0.5")
    assert status == 0
    assert "mixing styles, 18x24 pixels" in out
    assert nstjax.read_image("out_style.png").shape == (24, 18, 3)


def test_average_is_the_last_image_where_nothing_is_remembered(command):
    last = painted(command, *ONE, "--steps=4")
    average = painted(command, *ONE, "--steps=4", "--keep=average")
    assert (average != last).any()
    forgetful = ("--keep=average", "--average_decay=0")
    image = painted(command, *ONE, "--steps=4", *forgetful)
    np.testing.assert_array_equal(image, last)


def test_normalized_gradients_change_the_steps_and_not_the_losses(command):
    flags = ("--optimizer=lbfgs", "--learning_rate=0.5")
    plain = painted(command, *ONE, *flags, "--workdir=plain")
    image = painted(
        *(command, *ONE, *flags, "--normalize_gradients", "--workdir=normalized")
    )
    assert (image != plain).any()
    first, second = (metrics(folder)[0] for folder in ("plain", "normalized"))
    assert first["total"] == pytest.approx(second["total"], rel=1e-6)
    assert first["gradient_norm"] != pytest.approx(second["gradient_norm"], rel=0.01)


@pytest.mark.parametrize("style_loss", get_args(StyleLoss))
def test_every_style_loss_paints(style_loss, command):
    # The preset's L-BFGS gives way where a loss is sampled. Those compile slowly: they
    # get one layer and no regions.
    sampled = style_loss in SAMPLED
    flags = [flag for flag in TWO if not flag.startswith("--optimizer")]
    flags += ["--style_layers=relu1_1"] if sampled else [MASKED]
    status, out, err = command(
        *(*flags, f"--style_loss={style_loss}", "--workdir=run", "--steps=3")
    )
    notes = "" if sampled else REGIONS.format("painting.png", "second.png")
    assert (status, err) == (0, notes)
    assert f"3 steps of {'adam' if sampled else 'lbfgs'};" in out
    assert settings("run")["style_loss"] == style_loss
    rows = metrics("run")
    assert all(np.isfinite(row["total"]) for row in rows)
    assert rows[-1]["style"] < rows[0]["style"]


# --- all together -------------------------------------------------------------------


def together(folder, *more):
    return (
        *("photo.png", "painting.png", "second.png", f"--workdir={folder}", "--quiet"),
        *("--size=48", "--pyramid=2", "--pyramid_min_size=24", "--optimizer=adam"),
        *("--content_layers=relu2_1", "--style_layers=relu1_1,relu2_1"),
        *("--steps=40", "--pyramid_steps=60", "--checkpoint_every=7"),
        *(MASKED, "--style_mask=painted.png,none", "--style_regions=all,blue"),
        *("--region_weights=1,2", "--stylize_mask=ramp.png", "--color=luminance"),
        *("--style_loss=moments", "--keep=average", "--adam_betas=0.9,0.99"),
        *("--snapshots=20,60", "--style_image_layers=all,relu2_1"),
        *more,
    )


TOGETHER_NOTES = (
    "nstjax: note: region #ff0000 (50 % of the photo): painting.png; region #0000ff "
    "(50 %): painting.png, second.png\n"
)


def kill_after(started, rows, folder):
    log = pathlib.Path(folder, "metrics.jsonl")
    deadline = time.monotonic() + 300
    while not log.exists() or log.read_bytes().count(b"\n") < rows:
        assert started.poll() is None, started.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    started.send_signal(signal.SIGKILL)
    assert started.wait(60) == -signal.SIGKILL


def test_all_controls_together_resume_bit_equal_after_a_kill(command, process):
    status, out, err = command(*together("whole"))
    assert (status, err) == (0, TOGETHER_NOTES)
    assert "24x18 pixels, 40 steps, then 48x36 pixels, 60 steps of adam" in out
    kill_after(process(*together("killed")), 50, "killed")
    assert not pathlib.Path("killed/stylized.png").exists()
    status, _, err = command(*together("killed", "--resume"))
    assert (status, err) == (0, TOGETHER_NOTES)
    for leftover in pathlib.Path("killed").glob(".nstjax-*"):
        leftover.unlink()
    names = {path.name for path in pathlib.Path("whole").iterdir()}
    assert names == {path.name for path in pathlib.Path("killed").iterdir()}
    assert names >= {"stylized.png", "checkpoint.safetensors", "snapshot_000060.png"}
    for name in names - {"metrics.jsonl", "run.h5"}:
        whole, killed = (pathlib.Path(top, name) for top in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name
    rows = [
        [{**row, "seconds": 0} for row in metrics(top)] for top in ("whole", "killed")
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 101

    found = settings("whole")
    assert (found["color"], found["style_loss"]) == ("luminance", "moments")
    assert (found["keep"], found["adam_betas"]) == ("average", [0.9, 0.99])
    assert (found["pyramid"], found["pyramid_steps"]) == ("2", [60])
    assert found["region_weights"] == [1, 2]
    assert found["style_regions"] == ["all", "blue"]
    assert found["style_image_layers"] == [None, ["relu2_1"]]
    masks = {
        "content_mask": "two.png",
        "style_mask_1": "painted.png",
        "stylize_mask": "ramp.png",
    }
    hashes = {
        name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        for name, path in masks.items()
    }
    assert found["image_sha256"].items() >= hashes.items()

    # Another mask is another run, and so is every other control.
    before = listing(pathlib.Path("whole"))
    halves("other.png", (64, 40), "red", "blue")
    for flag, says in (
        ("--content_mask=other.png", "image_sha256 was"),
        ("--stylize_mask=", "image_sha256 was"),
        ("--style_mask=none,none", "image_sha256 was"),
        ("--style_regions=all,red+blue", "style_regions was"),
        ("--region_weights=2,2", "region_weights was"),
        ("--color_space=lab", "color_space was"),
        ("--style_loss=gram", "style_loss was"),
        ("--guide_mode=all", "guide_mode was"),
        ("--style_image_layers=all,all", "style_image_layers was"),
        ("--pyramid=none", "pyramid was"),
        ("--steps=41", "steps was 40, is 41"),
    ):
        status, out, err = command(*together("whole", "--resume", flag))
        assert status == 2
        check_refused(status, out, err, says)
    assert listing(pathlib.Path("whole")) == before


def test_an_interrupt_while_styles_are_mixed_ends_without_a_result(
    studio, command, monkeypatch
):
    plain = session.progress_text

    def progress_text(info):
        signal.raise_signal(signal.SIGINT)
        return plain(info)

    monkeypatch.setattr(session, "progress_text", progress_text)
    before = listing(studio)
    status, _, err = command(*ONE, *FINE, "--workdir=run", "--steps=50")
    assert (status, err) == (130, "nstjax: error: interrupted\n")
    assert listing(studio) == before


def test_every_choice_of_a_setting_is_a_flags_value(command):
    status, out, _ = command("--help")
    assert status == 0
    text = "".join(out.split())
    for name in ("style_loss", "color", "guide_mode", "pyramid", "keep"):
        choices = get_args(Preset.__annotations__[name])
        assert f"--{name}:<{'|'.join(choices)}>:" in text
