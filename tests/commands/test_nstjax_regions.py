"""The command's regions: which painting serves where, and what stays a photo."""

import pathlib

import numpy as np
import pytest
from command_lines import MASKED, REGIONS, SHALLOW, TWO, halves, metrics, painted, photo
from PIL import Image

pytestmark = pytest.mark.usefixtures("pictures")

# One update by the gradients of the first layer's style alone.
ONCE = ("--steps=1", "--style_layers=relu1_1", "--content_layers=relu1_1", "--alpha=0")
# One layer, where depth does not matter.
FLAT = (*SHALLOW, "--style_layers=relu1_1", "--content_layers=relu1_1")
FLAT_ONE = ("photo.png", "painting.png", *FLAT)
FLAT_TWO = ("photo.png", "painting.png", "second.png", *FLAT)
# What eight bits lose.
HALF = 0.501 / 255


def test_each_painting_serves_the_region_in_its_place(command):
    def left_and_right(second, *flags):
        image = painted(
            *(command, "photo.png", "painting.png", second, *FLAT, *ONCE, MASKED),
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
            *("photo.png", "painting.png", "second.png", *FLAT, MASKED, *flags)
        )
        assert (status, err) == (0, REGIONS.format(first, second))
        return pathlib.Path("out.png").read_bytes()

    names = "painting.png", "second.png"
    in_order = served(*names)
    for regions in ("red,blue", "#f00000, 2"):
        assert served(*names, f"--style_regions={regions}") == in_order
    crossed = served(*names[::-1], "--style_regions=2,red")
    assert crossed != in_order
    both = served("painting.png", ", ".join(names), "--style_regions=all,blue")
    assert both not in (in_order, crossed)
    assert served(*names, "--region_weights=2,2") == in_order
    assert served(*names, "--region_weights=2,1") != in_order


def test_a_styles_mask_says_what_of_it_counts(command):
    # The first painting is red on its left and blue on its right, as its mask is.
    picture = Image.open("painting.png")
    other = picture.copy()
    other.paste("yellow", (44, 0, 56, 72))
    other.save("other.png")
    flags = ("--content_mask=white.png", "--style_mask=half.png")
    notes = (
        "nstjax: note: content mask is the same everywhere: it separates nothing\n"
        "nstjax: note: the photo's mask has no region #000000: ignored in the mask of "
        "{0}\nnstjax: note: region #ffffff (100 % of the photo): {0}\n"
    )
    images = [
        painted(*(command, "photo.png", name, *FLAT, *mask), notes=said.format(name))
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
    halves("tall.png", (48, 64), "white", "white")
    image = painted(
        *(command, *FLAT_TWO, *ONCE, "--content_mask=quarter.png+left.png"),
        *("--style_mask=none,half.png+tall.png", "--style_regions=2,1+2"),
        notes="nstjax: note: style mask of second.png 2 is 48x64, the first 56x72: "
        "stretched\n"
        "nstjax: note: style mask of second.png is 56x72, its picture 60x60: "
        "stretched\n"
        "nstjax: note: region 1 (25 % of the photo): second.png; region 2 (50 %): "
        "painting.png, second.png\n",
    )
    np.testing.assert_allclose(image[:, 25:], photo()[:, 25:], atol=HALF)
    assert np.abs(image - photo())[:, :23].mean() > 1 / 255


def test_a_layer_that_is_too_deep_for_a_region_is_left_out_with_a_note(command):
    painted(
        *(command, *TWO, "--content_mask=dot.png+white.png", "--workdir=run"),
        "--size=32",
        notes="nstjax: note: content mask: region 1 is only 0.29 % of it\n"
        "nstjax: note: region 1 (0 % of the photo): painting.png; region 2 "
        "(100 %): second.png\n"
        "nstjax: note: region 1 is too small for relu2_1 at 32x24 pixels: left "
        "out there\n",
    )
    assert list(metrics("run")[0]["style_layers"]) == ["relu1_1", "relu2_1"]


# --- inside and outside stylize_mask ------------------------------------------------


def test_outside_the_stylize_mask_the_photo_stays(command):
    plain = painted(command, *FLAT_ONE)
    for flags in ((), ("--init=noise",), ("--color=luminance",)):
        image = painted(command, *FLAT_ONE, "--stylize_mask=left.png", *flags)
        np.testing.assert_allclose(image[:, 24:], photo()[:, 24:], atol=HALF)
        assert np.abs(image - photo())[:, :24].mean() > 1 / 255
        assert (image[:, :24] != plain[:, :24]).any()
    # All of the photo is what there is without a mask.
    image = painted(
        *(command, *FLAT_ONE, "--stylize_mask=white.png"),
        notes="nstjax: note: stylize mask is the same everywhere: it separates "
        "nothing\n",
    )
    np.testing.assert_allclose(image, plain, atol=1.01 / 255)
