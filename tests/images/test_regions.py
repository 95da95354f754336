import logging

import numpy as np
import pytest

from nstjax.errors import InputError
from nstjax.images.regions import (
    MaskedRegion,
    RegionMasks,
    describe_regions,
    fit_regions,
    pair_regions,
    regions_from_masks,
)


def _regions(names, size=(4, 6)):
    """Regions that differ: the first is all columns, each next one column less."""
    names = tuple(names.split())
    masks = np.zeros((len(names), *size), np.float32)
    for number in range(len(names)):
        masks[number, :, number:] = 1
    return RegionMasks(names, masks)


def _grey(mask, alpha=None):
    return np.repeat(np.float32(mask)[:, :, None], 3, axis=2), alpha


def test_grey_masks_are_memberships_of_the_size_of_the_first(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    soft = np.tile(np.linspace(0, 1, 40), (20, 1))
    small = np.full((10, 20), 0.3)
    regions = regions_from_masks([_grey(soft), _grey(small)], "style mask")
    assert regions.names == ("1", "2")
    assert regions.masks.dtype == np.float32
    snapped = np.where(soft < 0.05, 0, np.where(soft > 0.95, 1, soft))
    np.testing.assert_allclose(regions.masks[0], snapped, rtol=1e-6)
    np.testing.assert_allclose(regions.masks[1], 0.3, rtol=1e-6)
    assert caplog.messages == ["style mask 2 is 20x10, the first 40x20: resized"]


def test_masks_of_one_region_are_grey_not_all_black_and_not_on_their_side():
    white = np.ones((20, 30, 3), np.float32)
    for says, second in {
        "mask 2 is all black": 0.01 * white,  # JPEG's black
        "mask 2 is colored: .* grey": white * np.float32([1, 0, 0]),
        "mask 2 is 20x30, the first 30x20: one is port": white.transpose(1, 0, 2),
    }.items():
        with pytest.raises(InputError, match=f"^{says}"):
            regions_from_masks([(white, None), (second, None)], "mask")


def test_regions_are_fitted_to_their_picture(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    regions = _regions("#ffffff #000000", size=(80, 60))
    fitted = fit_regions(regions, 80, 60, "content mask")
    np.testing.assert_array_equal(fitted.masks, regions.masks)
    assert not caplog.messages
    regions.masks[0] = 1 - regions.masks[1]
    fitted = fit_regions(regions, 168, 105, name="content mask")
    assert caplog.messages == ["content mask is 60x80, its picture 105x168: stretched"]
    assert fitted.names == regions.names
    assert fitted.masks.shape == (2, 168, 105)
    np.testing.assert_allclose(fitted.masks.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.masks.mean(), regions.masks.mean(), atol=1e-3)


def test_a_mask_that_lies_on_its_side_is_refused():
    with pytest.raises(InputError, match=r"^mask is 40x60, its picture 90x60: one is"):
        fit_regions(_regions("1", size=(60, 40)), 60, 90, "mask")
    # Hardly any picture is square to the pixel.
    fit_regions(_regions("1", size=(101, 100)), 60, 61, "mask")


def test_one_region_alone_and_small_ones_are_noted(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    everywhere = RegionMasks(("#000000",), np.ones((1, 40, 60), np.float32))
    fit_regions(everywhere, 40, 60, "content mask")
    few = np.zeros((2, 100, 100), np.float32)
    few[:, 0, :50] = 1
    few[1] = 1 - few[1]
    fit_regions(RegionMasks(("#ff0000", "#000000"), few), 100, 100, "content mask")
    assert caplog.messages == [
        "content mask is the same everywhere: it separates nothing",
        "content mask: region #ff0000 is only 0.5 % of it",
    ]


def _served(regions):
    """Of each region the paintings, with the number of their mask's columns."""
    return ", ".join(
        " ".join(
            f"{index}" if mask is None else f"{index}:{int(mask[0].sum())}"
            for index, mask in region.styles
        )
        for region in regions
    )


MAP, NUMBERS = "#ffffff #ff0000 #000000", "0 1 3"


# A mask is told by its columns: 6 in a map's first region, then 5, 4, ...
@pytest.mark.parametrize(
    ("content", "styles", "style_regions", "expected"),
    [
        # Colors that differ a little, whatever their order.
        (MAP, ["#fff8f0 #e01010 #000000"], None, "0:6, 0:5, 0:4"),
        (MAP, ["#202020 #ffffff", "#ff0000"], None, "0:5, 1:6, 0:6"),
        # Pairs are one to one, the nearest first; both are nearest to the second here.
        ("#ff0000 #d00000", ["#f00000 #c00000"], None, "0:6, 0:5"),
        ("#ff0000 #d00000", ["#c80000 #d00000"], None, "0:6, 0:5"),
        # A painting without a mask serves all; as many as regions serve one each.
        (MAP, ["#ffffff #000000", None], None, "0:6 1, 1, 0:5 1"),
        (MAP, [None, None], None, "0 1, 0 1, 0 1"),
        (MAP, [None, None, None], None, "0, 1, 2"),
        (MAP, [None, None, None], ("all",) * 3, "0 1 2, 0 1 2, 0 1 2"),
        # By number and by name, and less than the mask has.
        (MAP, [None, None], ("3+white", " Red "), "0, 1, 0"),
        (MAP, ["#ffffff #000000", None], ("#fefefe", "2+#000"), "0:6, 1, 1"),
        # Grey masks pair in order.
        (MAP, ["1 2 3"], None, "0:6, 0:5, 0:4"),
        ("1 2", ["1", None], ("1", "2"), "0:6, 1"),
        ("1 2", ["#ffffff #000000"], None, "0:6, 0:5"),
        # Maps of numbers pair by number; 0 and 1 alone are called black and white.
        (NUMBERS, ["3 1 0"], None, "0:4, 0:5, 0:6"),
        (NUMBERS, ["#ffffff #000000", None], ("0+1", "3"), "0:5, 0:6, 1"),
    ],
)
def test_paintings_serve_regions(content, styles, style_regions, expected):
    content = _regions(content)
    styles = [style and _regions(style) for style in styles]
    regions = pair_regions(content, styles, style_regions)
    assert _served(regions) == expected
    assert tuple(region.name for region in regions) == content.names
    for region, mask in zip(regions, content.masks, strict=True):
        np.testing.assert_array_equal(region.content_mask, mask)


def test_a_region_that_the_photo_lacks_is_ignored_with_a_note(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    style = _regions("#ffffff #ff0000 #0000ff #000000")
    regions = pair_regions(_regions(MAP), [style], None, ["sea.jpg"])
    assert _served(regions) == "0:6, 0:5, 0:3"
    assert caplog.messages == [
        "the photo's mask has no region #0000ff: ignored in the mask of sea.jpg"
    ]


@pytest.mark.parametrize(
    ("content", "styles", "style_regions", "message"),
    [
        (
            MAP,
            ["#00ff00 #00ffff"],
            None,
            "the mask of style image 1 and the photo's have no region in common: it "
            "has #00ff00, #00ffff, the photo's #ffffff, #ff0000, #000000",
        ),
        (NUMBERS, ["#ff0000 #00ff00 #0000ff"], None, ".* have no region in common"),
        (MAP, ["#000000"], None, "no style image serves region #ffffff, #ff0000 of"),
        (MAP, [None, None], ("1", "2"), "no style image serves region #000000 of"),
        (MAP, [None], ("4",), r"unknown region '4': the photo's are 1 \(#ffffff\), 2"),
        (NUMBERS, [None], ("2",), "unknown region '2': the photo's are 0, 1, 3$"),
        ("1 2", [None], ("white",), "unknown region 'white': the photo's are 1, 2$"),
        (MAP, [None], ("white+0",), "unknown region '0'"),
        (MAP, [None], ("white+sky",), "unknown region 'sky'"),
        (MAP, [None], ("white+",), "unknown region ''"),
        (MAP, [None], ("lime",), "unknown region 'lime'"),
        (MAP, ["#ffffff", None], ("red", "all"), "the mask of style image 1 has no re"),
        (MAP, [None, None], ("all",), "style_regions has 1 entries for 2 style im"),
    ],
)
def test_regions_that_do_not_pair_are_refused(content, styles, style_regions, message):
    styles = [style and _regions(style) for style in styles]
    with pytest.raises(InputError, match=f"^{message}") as raised:
        pair_regions(_regions(content), styles, style_regions)
    assert "\n" not in str(raised.value)


def test_empty_regions_are_refused():
    empty = _regions("#ffffff #ff0000")
    empty.masks[1] = 0
    says = "region #ff0000 in the mask of {} is empty"
    with pytest.raises(InputError, match=says.format("the photo")):
        pair_regions(empty, [None])
    with pytest.raises(InputError, match=says.format("style image 1")):
        pair_regions(_regions(MAP), [empty])


def test_regions_are_described_in_one_line():
    sky = np.zeros((10, 10))
    sky.flat[:41] = 1
    regions = [
        MaskedRegion("#ffffff", sky, ((0, None), (2, None))),
        MaskedRegion("#000000", 1 - sky, ((1, None),)),
    ]
    assert describe_regions(regions, ["night.jpg", "scream.jpg", "wave.jpg"]) == (
        "region #ffffff (41 % of the photo): night.jpg, wave.jpg; "
        "region #000000 (59 %): scream.jpg"
    )
