"""A mask means what was painted: on transparent, in small numbers, in a palette."""

import logging

import numpy as np
import pytest
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.masks import read_regions

HEIGHT, WIDTH = 40, 60
PHOTO = np.zeros((HEIGHT, WIDTH, 3), np.float32)
LEFT = np.zeros((HEIGHT, WIDTH), np.float32)
LEFT[:, :20] = 1


def on_transparent(*parts, under=0):
    """RGBA with a color in each part and any color where nothing is painted."""
    pixels = np.full((HEIGHT, WIDTH, 4), under, np.uint8)
    pixels[:, :, 3] = 0
    for part, color in parts:
        pixels[part] = (*color, 255)
    return pixels


def labels(*numbers, dtype=np.uint8):
    """Columns of each number."""
    row = np.repeat(np.array(numbers, dtype), WIDTH // len(numbers))
    return np.tile(row, (HEIGHT, 1))


def read(source):
    return read_regions(Image.fromarray(source), PHOTO, "mask")


def read_one(source):
    return read_regions([Image.fromarray(source)], PHOTO, "mask").masks[0]


LEFT_PART, RIGHT_PART = np.s_[:, :20], np.s_[:, 40:]


def test_alpha_times_the_grey_that_was_painted_is_the_mask_of_one_region():
    for color, under in (((255, 255, 255), 0), ((200, 30, 90), 255)):
        mask = read_one(on_transparent((LEFT_PART, color), under=under))
        np.testing.assert_array_equal(mask, LEFT)
    pixels = on_transparent((LEFT_PART, (255,) * 3), (RIGHT_PART, (0,) * 3))
    pixels[:20, :20, 3] = 128
    pixels[30:, :20, :3] = 102
    mask = read_one(pixels)
    np.testing.assert_allclose(mask[:20, :20], 128 / 255, rtol=1e-5)
    np.testing.assert_array_equal(mask[20:30], LEFT[20:30])
    np.testing.assert_allclose(mask[30:, :20], 0.4, rtol=1e-5)
    assert not mask[:, 20:].any()
    # An even alpha means nothing.
    pixels = on_transparent((np.s_[:, :], (0, 0, 0)), (LEFT_PART, (255, 255, 255)))
    pixels[:, :, 3] = 100
    np.testing.assert_array_equal(read_one(pixels), LEFT)


@pytest.mark.parametrize(
    ("color", "message"),
    [((0, 0, 0), "mask is black on transparent: paint"), (None, "mask is transparent")],
)
def test_nothing_white_on_transparent(color, message):
    parts = [(LEFT_PART, color)] if color else []
    with pytest.raises(InputError, match=f"^{message}"):
        read_one(on_transparent(*parts, under=255))


@pytest.mark.parametrize(
    ("colors", "background"),
    [
        (["#ffffff"], "#000000"),
        (["#ff0000"], "#000000"),
        (["#ff0000", "#0000ff"], "#000000"),
        (["#000000"], "#ffffff"),
        (["#000000", "#ff0000"], "#ffffff"),
        (["#ffffff", "#000000"], "#808080"),
    ],
)
def test_in_a_map_transparent_is_a_region_of_its_own(colors, background):
    parts = zip((LEFT_PART, RIGHT_PART), colors, strict=False)
    parts = [(part, bytes.fromhex(color[1:])) for part, color in parts]
    regions = read(on_transparent(*parts, under=77))
    assert set(regions.names) == {*colors, background}
    np.testing.assert_array_equal(regions.masks[regions.names.index(colors[0])], LEFT)
    share = regions.masks[regions.names.index(background)].mean()
    np.testing.assert_allclose(share, 1 - len(colors) / 3, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_small_numbers_are_regions(dtype):
    regions = read(labels(0, 1, 2, 3, dtype=dtype))
    assert regions.names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(regions.masks.argmax(0), labels(0, 1, 2, 3))
    np.testing.assert_array_equal(regions.masks.sum(0), 1)
    grey = labels(0, 5, 9, dtype=dtype)
    colors = read_regions(np.dstack([grey] * 3), PHOTO, "mask")
    assert read(grey).names == colors.names == ("0", "5", "9")
    # 0 and 1 are black and white.
    regions = read(labels(1, 0, 0, dtype=dtype))
    assert regions.names == ("#ffffff", "#000000")
    np.testing.assert_array_equal(regions.masks[0], LEFT)
    for number in (1, 7):
        mask = read_one(labels(number, 0, 0, dtype=dtype))
        np.testing.assert_array_equal(mask, LEFT)


def test_one_region_has_two_numbers_and_a_map_sixteen_at_the_most():
    with pytest.raises(InputError, match=r"^mask holds 3 numbers from 0 to 2: the ma"):
        read_one(labels(0, 1, 2))
    assert len(read(labels(*range(15))).names) == 15
    with pytest.raises(InputError, match=r"^mask holds 20 numbers from 0 to 19: "):
        read(labels(*range(20)))
    # Dark greys are no numbers.
    ramp = np.tile(np.linspace(0, 0.11, WIDTH, dtype=np.float32), (HEIGHT, 1))
    mask = read_regions([ramp], PHOTO, "mask").masks[0]
    np.testing.assert_allclose(mask[:, -1], 0.11, rtol=1e-5)


@pytest.mark.parametrize("palette", [None, [0, 0, 0, 200, 0, 0, 0, 200, 0, 90, 90, 0]])
def test_a_palettes_colors_are_regions(tmp_path, palette):
    image = Image.fromarray(labels(0, 1, 2, 3)).convert("P")
    if palette:
        image.putpalette(palette)
    image.save(tmp_path / "mask.png")
    regions = read_regions(str(tmp_path / "mask.png"), PHOTO, "mask")
    np.testing.assert_allclose(regions.masks.mean(axis=(1, 2)), 0.25)


def test_the_turned_mask_of_a_turned_photo(tmp_path, caplog):
    caplog.set_level(logging.INFO, "nstjax")
    turned, exif = np.rot90(np.uint8(255 * LEFT)), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(turned).save(tmp_path / "mask.png", exif=exif)
    regions = read_regions(str(tmp_path / "mask.png"), PHOTO, "mask")
    np.testing.assert_array_equal(regions.masks[0], LEFT)
    assert not caplog.messages
    with pytest.raises(InputError, match="one is portrait, the other landscape"):
        read(turned)
