"""The command's regions: which painting serves where, and what stays a photo."""

import numpy as np
import pytest
from command_lines import MASKED, REGIONS, SHALLOW, painted, photo
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


def test_paintings_serve_the_regions_that_they_are_given(command):
    def left_and_right(first, second, *flags):
        image = painted(
            *(command, *FLAT_TWO, *ONCE, MASKED, *flags),
            notes=REGIONS.format(first, second),
        )
        # The gradient reaches one pixel further than the region.
        return image[:, :23], image[:, 25:]

    names = "painting.png", "second.png"
    left, right = left_and_right(*names)
    assert np.abs(left - photo()[:, :23]).mean() > 1 / 255
    for regions in ("red,blue", "#f00000, 2"):
        given = left_and_right(*names, f"--style_regions={regions}")
        np.testing.assert_array_equal(given, (left, right))
    both = "painting.png", ", ".join(names)
    same_left, mixed_right = left_and_right(*both, "--style_regions=all,blue")
    np.testing.assert_array_equal(same_left, left)
    assert (mixed_right != right).mean() > 0.1
    crossed = left_and_right(*names[::-1], "--style_regions=2,red")
    assert all((crossed[side] != (left, right)[side]).mean() > 0.1 for side in (0, 1))


def test_regions_have_weights(command):
    def weighted(weights):
        flags = (*FLAT_TWO, MASKED, f"--region_weights={weights}")
        notes = REGIONS.format("painting.png", "second.png")
        return painted(command, *flags, notes=notes)

    assert (weighted("2,1") != weighted("1,1")).any()
    np.testing.assert_array_equal(weighted("2,2"), weighted("1,1"))


def test_grey_masks_may_leave_a_part_of_the_photo_and_overlap(command):
    picture = Image.new("RGB", (64, 48))
    picture.paste("white", (0, 0, 16, 48))
    picture.save("quarter.png")
    image = painted(
        *(command, *FLAT_TWO, *ONCE, "--content_mask=quarter.png+left.png"),
        "--style_regions=2,1+2",
        notes="nstjax: note: region 1 (25 % of the photo): second.png; region 2 "
        "(50 %): painting.png, second.png\n",
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
