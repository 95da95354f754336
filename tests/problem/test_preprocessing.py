"""Pictures before and after a transfer: color, contrast, what of the photo stays."""

import numpy as np
import pytest
from problems import network_units, picture

from nstjax.images import color
from nstjax.images.resizing import Size
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize, with_settings
from nstjax.problem.preprocessing import (
    Original,
    content_in_color,
    finish,
    fit,
    stretch_contrast,
    style_in_color,
    style_size,
)
from nstjax.problem.pyramid import Scale

SPACES = ("yiq", "lab", "hcl")
METHODS = ("cholesky", "pca", "symmetric", "histogram")
PHOTO, IMAGE = (0.2 + 0.6 * picture(seed, 20, 30) for seed in (1, 3))
PAINTING = picture(2, 16, 18)
ORIGINAL = Original(PHOTO, None, (20, 30))


def preset(**settings):
    return customize(PRESETS["gatys2016"], **settings)


def grey(luminance):
    return np.repeat(luminance[:, :, None], 3, axis=2)


@pytest.mark.parametrize(
    "settings",
    [{}, *({"color": c, "color_when": "after"} for c in ("match", "luminance"))],
)
def test_pictures_are_seen_as_they_are_where_color_is_for_later(settings):
    settings = preset(**settings)
    assert content_in_color(PHOTO, settings) is PHOTO
    assert style_in_color(PAINTING, PHOTO, settings) is PAINTING


@pytest.mark.parametrize("moments", ["mean_std", "mean"])
@pytest.mark.parametrize("space", SPACES)
def test_luminance_is_seen_as_grey(space, moments):
    settings = preset(color="luminance", color_space=space, luminance_match=moments)
    photo = color.luminance(PHOTO, space)
    np.testing.assert_array_equal(content_in_color(PHOTO, settings), grey(photo))
    painting = color.match_luminance(color.luminance(PAINTING, space), photo, moments)
    np.testing.assert_array_equal(
        style_in_color(PAINTING, PHOTO, settings), grey(painting)
    )


@pytest.mark.parametrize("method", METHODS)
def test_colors_are_matched_before_the_transfer_or_after_it(method):
    before, after = (
        preset(color="match", color_match=method, color_when=when)
        for when in ("before", "after")
    )
    assert content_in_color(PHOTO, before) is PHOTO
    np.testing.assert_array_equal(
        style_in_color(PAINTING, PHOTO, before),
        color.match_color(PAINTING, PHOTO, method),
    )
    image = network_units(IMAGE)
    np.testing.assert_allclose(finish(image, before, ORIGINAL), IMAGE, atol=1e-5)
    np.testing.assert_allclose(
        finish(image, after, ORIGINAL),
        color.match_color(IMAGE, PHOTO, method),
        atol=1e-5 if method != "histogram" else 0.01,
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("space", SPACES)
def test_luminance_is_shown_with_the_photos_chroma(space, when):
    settings = preset(color="luminance", color_space=space, color_when=when)
    start = network_units(content_in_color(PHOTO, settings))
    np.testing.assert_allclose(finish(start, settings, ORIGINAL), PHOTO, atol=1e-4)
    luminance = (
        IMAGE.mean(axis=2) if when == "before" else color.luminance(IMAGE, space)
    )
    np.testing.assert_allclose(
        finish(network_units(IMAGE), settings, ORIGINAL),
        color.with_luminance(PHOTO, luminance, space),
        atol=1e-4,
    )


def test_a_result_in_the_styles_colors_is_the_image_cut_to_what_can_be_shown():
    image = 2 * picture(3, 20, 30) - 0.5
    shown = finish(network_units(image), preset(), ORIGINAL)
    np.testing.assert_allclose(shown, image.clip(0, 1), atol=1e-5)
    assert shown.dtype == np.float32


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"color": "luminance"},
        {"color": "luminance", "color_when": "after", "color_space": "lab"},
        {"color": "match", "color_when": "after"},
    ],
)
def test_the_stylize_mask_composites_result_and_photo(settings):
    settings = preset(**settings)
    image = network_units(IMAGE)
    whole = finish(image, settings, ORIGINAL)
    mask = np.random.default_rng(4).random((20, 30), dtype=np.float32)
    mask[:10, :5], mask[10:, :5] = 0, 1
    shown = finish(image, settings, ORIGINAL._replace(stylize_mask=mask))
    np.testing.assert_array_equal(shown[:10, :5], PHOTO[:10, :5])
    share = mask[:, :, None]
    np.testing.assert_allclose(shown, share * whole + (1 - share) * PHOTO, atol=1e-6)


def test_a_result_is_composited_before_it_is_resized_back():
    original = Original(PHOTO, np.zeros((20, 30), np.float32), (40, 60))
    shown = finish(network_units(IMAGE), customize(PRESETS["matlab"]), original)
    np.testing.assert_allclose(shown, fit(PHOTO, 40, 60, preset(resample="bicubic")))


def test_fit_resizes_and_stretches_where_the_preset_says():
    fitted = fit(PHOTO, 10, 15, preset())
    assert fitted.shape == (10, 15, 3)
    assert fitted.mean() == pytest.approx(PHOTO.mean(), abs=0.01)
    assert fit(PHOTO, 20, 30, preset()) is PHOTO
    stretched = fit(PHOTO, 10, 15, customize(PRESETS["matlab"]))
    assert (stretched.min(), stretched.max()) == (0, 1)


def test_stretch_contrast_fills_the_range():
    stretched = stretch_contrast(np.float32([0.2, 0.3, 0.7]))
    np.testing.assert_allclose(stretched, [0, 0.2, 1], atol=1e-6)
    np.testing.assert_array_equal(stretch_contrast(np.full(3, 0.4)), 0.4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"size": Size("long", 20)}, (20, 10)),
        ({"size": Size("exact", (16, 24)), "style_size": "content"}, (16, 24)),
        ({"size": Size("exact", (16, 24))}, (24, 12)),
        ({"size": Size("width", 24), "style_size": "content_width"}, (48, 24)),
        ({"size": Size("long", 20), "style_size": Size("original")}, (30, 15)),
        ({"size": Size("long", 20), "style_size": Size("short", 8)}, (16, 8)),
        ({"size": Size("long", 20), "style_scale": 0.5}, (10, 5)),
        ({"size": Size("long", 40), "style_upscale": False}, (30, 15)),
    ],
)
def test_paintings_have_the_size_of_the_rule_and_go_with_the_scale(settings, expected):
    final, half = Scale(16, 24, 0, 1), Scale(8, 12, 0, 1)
    painting = np.zeros((30, 15, 3))
    settings = with_settings(preset(), **settings)
    assert style_size(painting, final, final, settings) == expected
    # Half of what is not too large to begin with.
    if settings.image.style_upscale:
        expected = tuple(round(side / 2) for side in expected)
        assert style_size(painting, half, final, settings) == expected
    else:
        assert style_size(painting, half, final, settings) == (20, 10)
