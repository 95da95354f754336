"""Maps of colors, read as regions."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw, ImageFilter
from scipy.spatial.distance import cdist

import nstjax
from nstjax.errors import InputError
from nstjax.images.regions import regions_from_map

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
    found, drawn = (
        np.array([ImageColor.getrgb(name) for name in names])
        for names in (regions.names, PALETTE[:count])
    )
    assert len(found) == count
    assert np.abs(found - drawn).max() <= 4
    assert set(np.unique(regions.masks)) == {0, 1}
    np.testing.assert_array_equal(regions.masks.sum(axis=0), 1)
    pixels = np.asarray(exact.resize(damaged.size, Image.Resampling.NEAREST))
    expected = cdist(pixels.reshape(-1, 3), drawn).argmin(axis=1)
    assert np.mean(regions.masks.argmax(axis=0).ravel() != expected) < 0.03


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
    row = np.multiply.outer(ramp, [1, 1, 0]) + np.multiply.outer(1 - ramp, [0, 0, 1])
    regions = regions_from_map(np.float32(np.tile(row, (60, 1, 1))), "mask")
    assert regions.names == ("#ffff00", "#0000ff")
    expected = np.where(ramp < 0.05, 0, np.where(ramp > 0.95, 1, ramp))
    np.testing.assert_allclose(regions.masks[0], np.tile(expected, (60, 1)), atol=3e-3)
    np.testing.assert_allclose(regions.masks.sum(axis=0), 1, rtol=1e-6)
    assert regions.masks.dtype == np.float32


@pytest.mark.parametrize(
    ("radius", "shape"),
    [(4, "rectangle"), (16, "rectangle"), (30, "rectangle"), (0, "ellipse")],
)
def test_a_feathered_mask_is_one_and_a_hard_one_stays_hard(radius, shape):
    picture = Image.new("RGB", (300, 200), "black")
    getattr(ImageDraw.Draw(picture), shape)((-100, -100, 150, 150), fill="white")
    feathered = picture.filter(ImageFilter.GaussianBlur(radius))
    regions = _read(_jpeg(feathered))
    assert regions.names == ("#ffffff", "#000000")
    expected = np.asarray(feathered)[:, :, 0] / 255
    if radius:
        np.testing.assert_allclose(regions.masks[0], expected, atol=0.06)
    else:
        soft = (regions.masks[0] > 0) & (regions.masks[0] < 1)
        assert soft.mean() < 0.02
        assert np.mean((regions.masks[0] > 0.5) != expected) < 0.002


def test_colors_near_white_and_black_are_named_so_and_a_speck_is_no_region():
    picture = _drawn(("#fbf9ff", "#050300", "#f80a80"), 300, 300)
    ImageDraw.Draw(picture).rectangle((250, 250, 258, 258), fill="red")
    assert _read(picture).names == ("#ffffff", "#ff0a80", "#000000")
    regions = _read(_jpeg(Image.new("RGB", (60, 40), "#3060a0")))
    np.testing.assert_array_equal(regions.masks, np.ones((1, 40, 60)))


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
    for path in paths[::6]:
        # Half the size keeps this quick.
        image = nstjax.read_image(path)
        image = nstjax.resize(image, image.shape[0] // 2, image.shape[1] // 2)
        with pytest.raises(InputError, match=f"^{path.name} looks like a photo, not"):
            regions_from_map(image, path.name)


def test_a_picture_without_even_colors_is_no_map():
    noise = np.random.default_rng(0).uniform(0, 1, (64, 64, 3))
    ramp = np.tile(np.linspace(0, 1, 256)[None, :, None], (64, 1, 3))
    for image in (noise, ramp):
        with pytest.raises(InputError, match=r"^x looks like a photo.*masks$"):
            regions_from_map(np.float32(image), "x")


def test_a_map_has_sixteen_colors_at_the_most():
    colors = np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1], [0, 0.5, 1]), -1)
    stripes = np.repeat(np.float32(colors.reshape(1, -1, 3)), 12, axis=1)
    picture = np.repeat(stripes, 30, axis=0)
    regions = regions_from_map(picture[:, : 16 * 12], "x")
    np.testing.assert_allclose(regions.masks.mean(axis=(1, 2)), 1 / 16)
    with pytest.raises(InputError, match="x looks like a photo"):
        regions_from_map(picture[:, : 17 * 12], "x")
