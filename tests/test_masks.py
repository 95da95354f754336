import io
import logging

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw, ImageFilter

import nstjax
from nstjax.control.color_map import color_distances
from nstjax.control.masks import (
    MaskedRegion,
    RegionMasks,
    describe_regions,
    fit_regions,
    pair_regions,
    regions_from_map,
    regions_from_masks,
)
from nstjax.errors import InputError

# From the brightest to the darkest; yellow and orange lie on the way between others.
PALETTE = ("#ffffff", "#ffff00", "#ff8000", "#ff0000", "#800080", "#0000ff")


def _drawn(colors, width=240, height=180):
    """A map of the first color with a disc of each other one on it."""
    picture = Image.new("RGB", (width, height), colors[0])
    draw = ImageDraw.Draw(picture)
    for number, color in enumerate(colors[1:]):
        x, y = 40 + 70 * (number % 3), 45 + 85 * (number // 3)
        draw.ellipse((x - 30, y - 36, x + 30, y + 36), fill=color)
    return picture


def _jpeg(picture, quality=70):
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded)


def _half(picture):
    size = (picture.width // 2, picture.height // 2)
    return picture.resize(size, Image.Resampling.BILINEAR)


def _read(picture, name="content mask"):
    return regions_from_map(nstjax.read_image(picture), name)


def _regions(*names, size=(4, 6)):
    """Regions that differ: the first is all columns, each next one column less."""
    masks = np.zeros((len(names), *size), np.float32)
    for number, name in enumerate(names):
        masks[number, :, number:] = 1
    return RegionMasks(names, masks)


@pytest.mark.parametrize("count", [3, 4, 5, 6])
@pytest.mark.parametrize(
    "damage",
    [lambda p: p, _jpeg, _half, lambda p: _half(_jpeg(p)), lambda p: _jpeg(_half(p))],
    ids=["exact", "jpeg", "half", "jpeg then half", "half then jpeg"],
)
def test_a_damaged_map_has_the_regions_that_were_drawn(count, damage):
    exact = _drawn(PALETTE[:count])
    damaged = damage(exact)
    regions = _read(damaged)
    found = np.array([ImageColor.getrgb(name) for name in regions.names])
    drawn = np.array([ImageColor.getrgb(name) for name in PALETTE[:count]])
    assert len(found) == count
    assert np.abs(found - drawn).max() <= 4
    assert set(np.unique(regions.masks)) == {0, 1}
    np.testing.assert_array_equal(regions.masks.sum(axis=0), 1)
    pixels = np.asarray(exact.resize(damaged.size, Image.Resampling.NEAREST))
    expected = color_distances(pixels.reshape(-1, 3).astype(int), drawn).argmin(axis=1)
    labels = regions.masks.argmax(axis=0)
    assert np.mean(labels.ravel() != expected) < 0.03


def test_the_mixed_colors_of_an_edge_are_no_region():
    # Red and blue mix to the purple of a region that is elsewhere.
    picture = Image.new("RGB", (200, 120), "#ff0000")
    picture.paste("#0000ff", (101, 0, 200, 120))
    picture.paste("#7a0085", (100, 0, 101, 120))
    picture.paste("#800080", (0, 80, 40, 120))
    regions = _read(picture)
    purple = regions.masks[regions.names.index("#800080")]
    assert purple[80:, :40].all()
    assert purple.sum() == 40 * 40


def test_a_line_of_one_pixel_that_hangs_on_its_region_stays():
    picture = _drawn(PALETTE[:3])
    ImageDraw.Draw(picture).line((40, 45, 40, 170), fill=PALETTE[1])
    regions = _read(picture)
    assert regions.masks[1][:171, 40].sum() >= 171 - 9


def test_two_colors_are_soft_between():
    ramp = np.clip((np.arange(200) - 40) / 80, 0, 1)
    colors = [
        np.array(ImageColor.getrgb(name)) / 255 for name in ("#ffff00", "#0000ff")
    ]
    row = ramp[:, None] * colors[0] + (1 - ramp[:, None]) * colors[1]
    regions = regions_from_map(np.float32(np.tile(row, (60, 1, 1))), "mask")
    assert regions.names == ("#ffff00", "#0000ff")
    expected = np.where(ramp < 0.05, 0, np.where(ramp > 0.95, 1, ramp))
    np.testing.assert_allclose(regions.masks[0], np.tile(expected, (60, 1)), atol=3e-3)
    np.testing.assert_allclose(regions.masks.sum(axis=0), 1, rtol=1e-6)
    assert regions.masks.dtype == np.float32


@pytest.mark.parametrize("radius", [4, 16, 30])
def test_a_feathered_mask_is_one(radius):
    picture = Image.new("RGB", (300, 200), "black")
    ImageDraw.Draw(picture).rectangle((-100, -100, 150, 300), fill="white")
    feathered = picture.filter(ImageFilter.GaussianBlur(radius))
    regions = _read(_jpeg(feathered))
    assert regions.names == ("#ffffff", "#000000")
    expected = np.asarray(feathered)[:, :, 0] / 255
    np.testing.assert_allclose(regions.masks[0], expected, atol=0.06)


def test_a_hard_mask_from_a_jpeg_is_hard_but_for_its_edge():
    picture = _drawn(("white", "black"))
    regions = _read(_jpeg(picture, 85))
    assert regions.names == ("#ffffff", "#000000")
    soft = (regions.masks[0] > 0) & (regions.masks[0] < 1)
    assert soft.mean() < 0.02
    white = np.asarray(picture)[:, :, 0] > 128
    assert np.mean((regions.masks[0] > 0.5) != white) < 0.002


def test_colors_near_white_and_black_are_named_so():
    picture = _drawn(("#fbf9ff", "#050300", "#f80a80"))
    assert _read(picture).names == ("#ffffff", "#ff0a80", "#000000")


def test_one_color_is_one_region_everywhere():
    regions = _read(_jpeg(Image.new("RGB", (60, 40), "#3060a0")))
    assert len(regions.names) == 1
    np.testing.assert_array_equal(regions.masks, np.ones((1, 40, 60)))


def test_a_speck_is_no_region():
    picture = _drawn(("white", "black"), 300, 300)
    ImageDraw.Draw(picture).rectangle((250, 250, 258, 258), fill="red")
    assert _read(picture).names == ("#ffffff", "#000000")


def test_the_real_masks_are_black_and_white(shared):
    for name, white in (
        ("ancient_city_mask.jpg", 0.80),
        ("avril_mask.png", 0.66),
        ("winter-wolf_mask.jpg", 0.59),
    ):
        regions = _read(shared / "images" / "masks" / name, name)
        assert regions.names == ("#ffffff", "#000000")
        np.testing.assert_allclose(regions.masks.mean(axis=(1, 2))[0], white, atol=0.01)


def test_photos_and_paintings_are_no_maps(shared):
    folder = shared / "images"
    paths = [*folder.glob("content/*"), *folder.glob("style/*")]
    paths += sorted(folder.glob("photos/*"))[::50]
    paths += [path for path in folder.glob("masks/*") if "_mask" not in path.name]
    assert len(paths) > 30
    for path in paths:
        # Half the size keeps this quick.
        image = nstjax.read_image(path)
        image = nstjax.resize(image, image.shape[0] // 2, image.shape[1] // 2)
        with pytest.raises(InputError, match=f"^{path.name} looks like a photo, not"):
            regions_from_map(image, path.name)


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).uniform(0, 1, (64, 64, 3)),
        np.tile(np.linspace(0, 1, 256)[None, :, None], (64, 1, 3)),
    ],
    ids=["noise", "ramp"],
)
def test_a_picture_without_even_colors_is_no_map(image):
    with pytest.raises(InputError, match="x looks like a photo") as raised:
        regions_from_map(np.float32(image), "x")
    assert "\n" not in str(raised.value)


def test_a_map_has_sixteen_colors_at_the_most():
    colors = np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1], [0, 0.5, 1]), -1)
    stripes = np.repeat(np.float32(colors.reshape(1, -1, 3)), 12, axis=1)
    picture = np.repeat(stripes, 30, axis=0)
    regions = regions_from_map(picture[:, : 16 * 12], "x")
    np.testing.assert_allclose(regions.masks.mean(axis=(1, 2)), 1 / 16)
    with pytest.raises(InputError, match="x looks like a photo"):
        regions_from_map(picture[:, : 17 * 12], "x")


def _grey(mask):
    return np.repeat(np.float32(mask)[:, :, None], 3, axis=2)


def test_grey_masks_are_memberships(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    soft = np.tile(np.linspace(0, 1, 40), (20, 1))
    regions = regions_from_masks([_grey(soft), _grey(np.full((20, 40), 0.3))], "mask")
    assert regions.names == ("1", "2")
    assert regions.masks.dtype == np.float32
    snapped = np.where(soft < 0.05, 0, np.where(soft > 0.95, 1, soft))
    np.testing.assert_allclose(regions.masks[0], snapped, rtol=1e-6)
    np.testing.assert_allclose(regions.masks[1], 0.3, rtol=1e-6)
    assert not caplog.records


def test_grey_masks_take_the_size_of_the_first(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    small = np.zeros((10, 20))
    small[:5] = 1
    regions = regions_from_masks([_grey(np.ones((20, 40))), _grey(small)], "style mask")
    assert caplog.messages == ["style mask 2 is 20x10, the first 40x20: resized"]
    assert regions.masks.shape == (2, 20, 40)
    np.testing.assert_allclose(regions.masks[1].mean(), 0.5, atol=1e-6)


def test_masks_of_one_region_are_grey_and_not_all_black():
    white = _grey(np.ones((20, 20)))
    with pytest.raises(InputError, match=r"^mask 2 is all black"):
        # JPEG's black.
        regions_from_masks([white, 0.01 * white], "mask")
    with pytest.raises(InputError, match=r"^stylize mask is colored: .* grey"):
        regions_from_masks([white * np.float32([1, 0, 0])], "stylize mask")


def test_regions_are_fitted_to_their_picture(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    regions = _regions("#ffffff", "#000000", size=(80, 60))
    fitted = fit_regions(regions, 80, 60, "content mask")
    np.testing.assert_array_equal(fitted.masks, regions.masks)
    assert not caplog.messages
    regions.masks[0] = 1 - regions.masks[1]
    fitted = fit_regions(regions, 105, 168, name="content mask")
    assert caplog.messages == ["content mask is 60x80, its picture 168x105: resized"]
    assert fitted.names == regions.names
    assert fitted.masks.shape == (2, 105, 168)
    np.testing.assert_allclose(fitted.masks.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.masks.mean(), regions.masks.mean(), atol=1e-3)


def _served(regions):
    """{region: the paintings, with the number of their mask's columns, or None}."""
    return {
        region.name: [
            (index, None if mask is None else int(mask[0].sum()))
            for index, mask in region.styles
        ]
        for region in regions
    }


CONTENT = _regions("#ffffff", "#ff0000", "#000000")


@pytest.mark.parametrize(
    ("styles", "style_regions", "expected"),
    [
        # A mask is told by its columns: 6 in a map's first region, then 5, 4, ...
        pytest.param(
            [_regions("#fff8f0", "#e01010", "#000000")],
            None,
            [[(0, 6)], [(0, 5)], [(0, 4)]],
            id="colors that differ a little",
        ),
        pytest.param(
            [_regions("#202020", "#ffffff"), _regions("#ff0000")],
            None,
            [[(0, 5)], [(1, 6)], [(0, 6)]],
            id="colors whatever their order",
        ),
        pytest.param(
            [_regions("#ffffff", "#000000"), None],
            None,
            [[(0, 6), (1, None)], [(1, None)], [(0, 5), (1, None)]],
            id="one without a mask serves all",
        ),
        pytest.param(
            [None, None, None],
            None,
            [[(0, None)], [(1, None)], [(2, None)]],
            id="as many as regions: one each",
        ),
        pytest.param(
            [None, None, None],
            ("all", "all", "all"),
            [[(0, None), (1, None), (2, None)]] * 3,
            id="as many as regions: all",
        ),
        pytest.param(
            [None, None],
            None,
            [[(0, None), (1, None)]] * 3,
            id="fewer than regions: all",
        ),
        pytest.param(
            [None, None],
            ("3+white", " Red "),
            [[(0, None)], [(1, None)], [(0, None)]],
            id="by number and by name",
        ),
        pytest.param(
            [_regions("#ffffff", "#000000"), None],
            ("#fefefe", "2+#000"),
            [[(0, 6)], [(1, None)], [(1, None)]],
            id="less than the mask has",
        ),
        pytest.param(
            [_regions("1", "2", "3")],
            None,
            [[(0, 6)], [(0, 5)], [(0, 4)]],
            id="grey masks in order",
        ),
    ],
)
def test_paintings_serve_regions(styles, style_regions, expected):
    regions = pair_regions(CONTENT, styles, style_regions)
    assert _served(regions) == dict(zip(CONTENT.names, expected, strict=True))
    for region, mask in zip(regions, CONTENT.masks, strict=True):
        np.testing.assert_array_equal(region.content_mask, mask)


def test_pairs_are_one_to_one_and_the_nearest_first():
    content = _regions("#ff0000", "#d00000")
    regions = pair_regions(content, [_regions("#f00000", "#c00000")])
    assert _served(regions) == {"#ff0000": [(0, 6)], "#d00000": [(0, 5)]}
    # Both are nearest to the second; the nearer has it.
    regions = pair_regions(content, [_regions("#c80000", "#d00000")])
    assert _served(regions) == {"#ff0000": [(0, 6)], "#d00000": [(0, 5)]}


def test_grey_masks_pair_by_number():
    content = _regions("1", "2")
    regions = pair_regions(content, [_regions("1"), None], ("1", "2"))
    assert _served(regions) == {"1": [(0, 6)], "2": [(1, None)]}
    regions = pair_regions(content, [_regions("#ffffff", "#000000")])
    assert _served(regions) == {"1": [(0, 6)], "2": [(0, 5)]}


def test_a_region_that_the_photo_lacks_is_ignored_with_a_note(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    style = _regions("#ffffff", "#ff0000", "#0000ff", "#000000")
    regions = pair_regions(CONTENT, [style], None, ["sea.jpg"])
    assert _served(regions)["#000000"] == [(0, 3)]
    assert caplog.messages == [
        "the photo's mask has no region #0000ff: ignored in the mask of sea.jpg"
    ]


EMPTY = RegionMasks(
    ("#ffffff", "#ff0000"), np.stack([np.ones((4, 6)), np.zeros((4, 6))])
)


@pytest.mark.parametrize(
    ("content", "styles", "style_regions", "message"),
    [
        (
            CONTENT,
            [_regions("#00ff00", "#00ffff")],
            None,
            "the mask of style image 1 and the photo's have no region in common: it "
            "has #00ff00, #00ffff, the photo's #ffffff, #ff0000, #000000",
        ),
        (
            CONTENT,
            [_regions("#000000")],
            None,
            "no style image serves region #ffffff, #ff0000 of the photo: ",
        ),
        (CONTENT, [None, None], ("1", "2"), "no style image serves region #000000 of"),
        (
            CONTENT,
            [None],
            ("4",),
            r"unknown region '4': the photo's are 1 \(#ffffff\), 2 \(#ff0000\), 3 \(#",
        ),
        (CONTENT, [None], ("white+0",), "unknown region '0'"),
        (CONTENT, [None], ("white+sky",), "unknown region 'sky'"),
        (CONTENT, [None], ("white+",), "unknown region ''"),
        (CONTENT, [None], ("lime",), "unknown region 'lime'"),
        (
            _regions("1", "2"),
            [None],
            ("white",),
            "unknown region 'white': the photo's are 1, 2$",
        ),
        (
            CONTENT,
            [_regions("#ffffff"), None],
            ("red", "all"),
            "the mask of style image 1 has no region #ff0000: ",
        ),
        (CONTENT, [None, None], ("all",), "style_regions has 1 entries for 2 style im"),
        (EMPTY, [None], None, "region #ff0000 in the mask of the photo is empty"),
        (CONTENT, [EMPTY], None, "region #ff0000 in the mask of style image 1 is em"),
    ],
)
def test_regions_that_do_not_pair_are_refused(content, styles, style_regions, message):
    with pytest.raises(InputError, match=f"^{message}") as raised:
        pair_regions(content, styles, style_regions)
    assert "\n" not in str(raised.value)


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
