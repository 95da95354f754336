"""Pictures before and after a transfer: color, contrast, what of the photo stays."""

import numpy as np
import pytest
import reference
from problems import network_units
from problems import picture as noise
from skimage.color import rgb2lab, rgb2yiq

from nstjax.images.resizing import Size
from nstjax.presets.preset import customize
from nstjax.presets.published import PRESETS
from nstjax.problem.preprocessing import (
    Original,
    content_in_color,
    finish,
    fit,
    stretch_contrast,
    style_in_color,
)
from nstjax.problem.problem import prepare

SPACES = ("yiq", "lab", "hcl")
LINEAR = ("cholesky", "pca", "symmetric")


def picture(seed, height=20, width=30, low=0.2, high=0.8):
    """Pixels that are correlated and, by default, far from being cut."""
    random = np.random.default_rng(seed)
    mixing = random.uniform(size=(3, 3)) + np.eye(3)
    mixing /= mixing.sum(axis=1, keepdims=True)
    return np.float32(random.uniform(low, high, (height, width, 3)) @ mixing.T)


PHOTO, PAINTING = picture(1), picture(2, 16, 18)
ORIGINAL = Original(PHOTO, None, (20, 30))


def preset(**settings):
    return customize(PRESETS["gatys2016"], **settings)


def moments(image):
    pixels = np.float64(image).reshape(-1, 3)
    return pixels.mean(axis=0), np.cov(pixels, rowvar=False, bias=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"color": "match"},
        {"color": "match", "color_when": "after"},
        {"color": "luminance", "color_when": "after"},
    ],
)
def test_the_photo_is_seen_as_it_is_unless_luminance_is_transferred(settings):
    assert content_in_color(PHOTO, preset(**settings)) is PHOTO


@pytest.mark.parametrize("color", ["style", "match", "luminance"])
def test_a_painting_is_seen_as_it_is_where_color_is_for_later(color):
    settings = preset(color=color, color_when="after")
    assert style_in_color(PAINTING, PHOTO, settings) is PAINTING
    assert style_in_color(PAINTING, PHOTO, preset()) is PAINTING


@pytest.mark.parametrize("space", SPACES)
def test_luminance_is_seen_as_grey(space):
    settings = preset(color="luminance", color_space=space)
    expected = (
        rgb2yiq(PHOTO)[..., 0] if space == "yiq" else rgb2lab(PHOTO)[..., 0] / 100
    )
    grey = content_in_color(PHOTO, settings)
    assert grey.shape == PHOTO.shape
    for channel in np.moveaxis(grey, 2, 0):
        np.testing.assert_allclose(channel, expected, atol=1e-5)
    style = style_in_color(PAINTING, PHOTO, settings)
    assert np.ptp(style, axis=2).max() == 0
    # Nothing was cut: mean and deviation are the photo's.
    assert style.mean() == pytest.approx(grey.mean(), abs=1e-4)
    assert style.std() == pytest.approx(grey.std(), abs=1e-3)
    mean_only = style_in_color(
        PAINTING,
        PHOTO,
        preset(color="luminance", color_space=space, luminance_match="mean"),
    )
    assert mean_only.mean() == pytest.approx(grey.mean(), abs=1e-4)
    own = content_in_color(PAINTING, settings).std()
    assert mean_only.std() == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("method", LINEAR)
def test_matched_paintings_have_the_photos_mean_and_covariance(method):
    matched = style_in_color(PAINTING, PHOTO, preset(color="match", color_match=method))
    assert matched.shape == PAINTING.shape
    for found, expected in zip(moments(matched), moments(PHOTO), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_histogram_matching_gives_each_channel_the_photos_values():
    settings = preset(color="match", color_match="histogram")
    matched = style_in_color(PAINTING, PHOTO, settings)
    for found, expected in zip(
        np.moveaxis(matched, 2, 0), np.moveaxis(PHOTO, 2, 0), strict=True
    ):
        quantiles = np.linspace(0.05, 0.95, 9)
        np.testing.assert_allclose(
            np.quantile(found, quantiles), np.quantile(expected, quantiles), atol=0.02
        )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("space", SPACES)
def test_luminance_of_the_photo_itself_gives_the_photo(space, when):
    settings = preset(color="luminance", color_space=space, color_when=when)
    start = network_units(content_in_color(PHOTO, settings))
    np.testing.assert_allclose(finish(start, settings, ORIGINAL), PHOTO, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_the_start_of_a_run_is_shown_as_the_photo(space):
    params = reference.random_params(blocks=1)
    settings = preset(
        color="luminance",
        color_space=space,
        size=Size("original"),
        content_layers=("relu1_1",),
        style_layers=("relu1_1",),
    )
    problem = prepare(PHOTO, [PAINTING], params, settings)
    shown = finish(problem.state.image, settings, problem.original)
    np.testing.assert_allclose(shown, PHOTO, atol=1e-4)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("space", SPACES)
def test_results_in_luminance_have_the_photos_chroma(space, when):
    settings = preset(color="luminance", color_space=space, color_when=when)
    # Something brighter and softer than the photo.
    image = 0.45 + 0.2 * picture(3)
    shown = finish(network_units(image), settings, ORIGINAL)
    convert = rgb2yiq if space == "yiq" else rgb2lab
    inside = ((shown > 0.001) & (shown < 0.999)).all(axis=2)
    assert inside.mean() > 0.9
    found, photo = convert(shown)[inside], convert(PHOTO)[inside]
    tolerance = 1e-4 if space == "yiq" else 0.02
    np.testing.assert_allclose(found[:, 1:], photo[:, 1:], atol=tolerance)
    expected = image.mean(axis=2) if when == "before" else convert(image)[..., 0]
    scale = 100 if when == "before" and space != "yiq" else 1
    np.testing.assert_allclose(found[:, 0], scale * expected[inside], atol=tolerance)


def test_a_grey_photo_stays_grey():
    grey = np.repeat(PHOTO[:, :, :1], 3, axis=2)
    for space in SPACES:
        for when in ("before", "after"):
            settings = preset(color="luminance", color_space=space, color_when=when)
            shown = finish(
                network_units(PHOTO), settings, ORIGINAL._replace(photo=grey)
            )
            assert np.ptp(shown, axis=2).max() < 1e-3


@pytest.mark.parametrize("method", LINEAR)
def test_results_are_matched_after_the_transfer(method):
    settings = preset(color="match", color_when="after", color_match=method)
    image = picture(3)
    shown = finish(network_units(image), settings, ORIGINAL)
    for found, expected in zip(moments(shown), moments(PHOTO), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)
    before = preset(color="match", color_match=method)
    np.testing.assert_allclose(
        finish(network_units(image), before, ORIGINAL), image, atol=1e-5
    )


def test_a_result_in_the_styles_colors_is_the_image_cut_to_what_can_be_shown():
    image = picture(3, low=-0.5, high=1.5)
    shown = finish(network_units(image), preset(), ORIGINAL)
    assert (image < 0).any()
    np.testing.assert_allclose(shown, image.clip(0, 1), atol=1e-5)


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
    image = network_units(picture(3))
    whole = finish(image, settings, ORIGINAL)
    mask = np.random.default_rng(4).random((20, 30), dtype=np.float32)
    mask[:10, :5], mask[10:, :5] = 0, 1
    shown = finish(image, settings, ORIGINAL._replace(stylize_mask=mask))
    np.testing.assert_allclose(shown[10:, :5], whole[10:, :5], atol=1e-6)
    np.testing.assert_array_equal(shown[:10, :5], PHOTO[:10, :5])
    share = mask[:, :, None]
    np.testing.assert_allclose(shown, share * whole + (1 - share) * PHOTO, atol=1e-6)
    assert shown.dtype == np.float32


def test_a_result_is_composited_before_it_is_resized_back():
    original = Original(PHOTO, np.zeros((20, 30), np.float32), (40, 60))
    settings = customize(PRESETS["matlab"])
    shown = finish(network_units(picture(3)), settings, original)
    assert shown.shape == (40, 60, 3)
    np.testing.assert_allclose(shown, fit(PHOTO, 40, 60, preset(resample="bicubic")))


def test_fit_resizes_and_stretches_where_the_preset_says():
    fitted = fit(PHOTO, 10, 15, preset())
    assert fitted.shape == (10, 15, 3)
    assert fitted.mean() == pytest.approx(PHOTO.mean(), abs=0.01)
    assert fit(PHOTO, 20, 30, preset()) is PHOTO
    stretched = fit(PHOTO, 10, 15, customize(PRESETS["matlab"]))
    assert (stretched.min(), stretched.max()) == (0, 1)
    np.testing.assert_allclose(
        stretch_contrast(PHOTO),
        (PHOTO - PHOTO.min()) / np.ptp(PHOTO),
        atol=1e-6,
    )


def test_stretch_contrast_fills_the_range():
    stretched = stretch_contrast(np.float32([0.2, 0.3, 0.7]))
    np.testing.assert_allclose(stretched, [0, 0.2, 1], atol=1e-6)
    np.testing.assert_array_equal(stretch_contrast(np.full(3, 0.4)), 0.4)


@pytest.fixture
def content():
    return noise(1, 32, 40)


def test_finish_shows_the_image_and_resizes_where_the_preset_says(content):
    image = np.float32(network_units(content))
    original = Original(content, None, (64, 80))
    shown = finish(image, PRESETS["gatys2016"], original)
    np.testing.assert_allclose(shown, content, atol=1e-5)
    assert finish(image, PRESETS["matlab"], original).shape == (64, 80, 3)
