"""Masks as people give them: files, pictures, arrays."""

import logging

import numpy as np
import pytest
from PIL import Image
from region_maps import LEFT, PAINTINGS, PHOTO, RED_BLUE, RIGHT, STYLE_MAP

from nstjax.errors import InputError
from nstjax.problem.targets import Controls
from nstjax.runs.controls import read_controls

NAMES = ("sea.jpg", "night.jpg")
NOISE = np.uint8(np.random.default_rng(7).integers(0, 256, (32, 40, 3)))
BLACK = np.zeros((32, 40), np.uint8)
LEFT_HALF = LEFT[:, :, 0] / np.float32(255)


def read(paintings=2, **masks):
    return read_controls(PHOTO, PAINTINGS[:paintings], NAMES[:paintings], **masks)


def test_without_masks_the_rest_is_handed_on():
    assert read() == Controls()
    layers, weights = (None, ("relu1_1",)), (1, 2)
    assert read(style_image_layers=layers, style_blend_weights=weights) == Controls(
        style_image_layers=layers, style_blend_weights=weights
    )


def test_a_map_gives_regions_by_color_and_grey_masks_by_number(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    controls = read(content_mask=RED_BLUE, region_weights=(1, 2))
    first, second = controls.regions
    assert (first.name, second.name) == ("#ff0000", "#0000ff")
    np.testing.assert_array_equal(first.content_mask, LEFT_HALF)
    np.testing.assert_array_equal(second.content_mask, 1 - LEFT_HALF)
    assert (first.styles, second.styles) == (((0, None),), ((1, None),))
    assert controls.region_weights == (1, 2)
    assert controls.stylize_mask is None
    assert caplog.messages == [
        "region #ff0000 (50 % of the photo): sea.jpg; region #0000ff (50 %): night.jpg"
    ]
    numbered = read(content_mask=[LEFT, RIGHT]).regions
    assert [region.name for region in numbered] == ["1", "2"]
    for region, same in zip(numbered, controls.regions, strict=True):
        np.testing.assert_array_equal(region.content_mask, same.content_mask)


def test_masks_are_files_pictures_and_arrays(tmp_path):
    path = tmp_path / "map+of+regions.png"
    Image.fromarray(RED_BLUE).save(path)
    expected = read(content_mask=RED_BLUE).regions
    picture, array = Image.fromarray(RED_BLUE), np.float32(RED_BLUE / 255)
    for source in (path, str(path), picture, array):
        regions = read(content_mask=source).regions
        for region, same in zip(regions, expected, strict=True):
            assert region.name == same.name
            np.testing.assert_array_equal(region.content_mask, same.content_mask)
    Image.fromarray(LEFT).save(tmp_path / "left.png")
    grey = LEFT[:, :, 0]
    for mask in (tmp_path / "left.png", Image.fromarray(grey), grey, LEFT_HALF):
        regions = read(content_mask=(mask, RIGHT)).regions
        np.testing.assert_array_equal(regions[0].content_mask, LEFT_HALF)
        stylize_mask = read(stylize_mask=mask).stylize_mask
        np.testing.assert_array_equal(stylize_mask, LEFT_HALF)


def test_the_paintings_masks_pair_with_the_photos():
    regions = read(content_mask=RED_BLUE, style_masks=[STYLE_MAP, None]).regions
    red, blue = regions
    assert [index for index, _ in red.styles] == [0, 1]
    np.testing.assert_array_equal(red.styles[0][1], STYLE_MAP[:, :, 0] / 255)
    np.testing.assert_array_equal(blue.styles[0][1], STYLE_MAP[:, :, 2] / 255)
    assert red.styles[1] == blue.styles[1] == (1, None)
    regions = read(
        content_mask=RED_BLUE,
        style_masks=[STYLE_MAP, None],
        style_regions=["red", "blue"],
    ).regions
    assert [[index for index, _ in region.styles] for region in regions] == [[0], [1]]


def test_a_soft_stylize_mask_stays_soft():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)[None].repeat(32, axis=0)
    found = read(stylize_mask=ramp).stylize_mask
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ramp, atol=0.05)
    assert len(np.unique(found)) > 30


REFUSED = [
    ({"style_masks": [None, None]}, "style_mask needs content_mask"),
    ({"style_regions": ["all", "all"]}, "style_regions needs content_mask"),
    ({"stylize_mask": LEFT, "region_weights": [1]}, "region_weights needs content_m"),
    ({"content_mask": [LEFT, "nowhere.png"]}, "nowhere.png does not exist"),
    ({"content_mask": []}, "content mask is an empty list"),
    ({"content_mask": [LEFT, NOISE]}, "content mask 2 is colored"),
    ({"stylize_mask": BLACK}, "stylize mask is all black"),
]
REFUSED_REGIONS = [
    ({"style_masks": [None, NOISE]}, "style mask of night.jpg looks like a photo"),
    ({"style_masks": [[LEFT, BLACK], None]}, "style mask of sea.jpg 2 is all black"),
    ({"style_masks": [LEFT]}, "style_mask has 1 entries for 2 style images"),
    ({"style_masks": [LEFT[:, :24], None]}, "the mask of sea.jpg and the photo's have"),
]


@pytest.mark.parametrize(
    ("masks", "message"),
    [*REFUSED, *(({"content_mask": RED_BLUE, **m}, s) for m, s in REFUSED_REGIONS)],
)
def test_masks_that_cannot_be_used_are_refused_in_one_line(masks, message):
    with pytest.raises(InputError, match=f"^{message}") as raised:
        read(**masks)
    assert "\n" not in str(raised.value)
