import numpy as np
import pytest
import scipy.linalg
from skimage.color import lab2lch, rgb2lab

from nstjax.errors import InputError
from nstjax.images.color import (
    covariance_transform,
    luminance,
    match_color,
    match_luminance,
    with_luminance,
)

SPACES = ["yiq", "lab", "hcl"]
LINEAR = ["cholesky", "pca", "symmetric"]
REGULARIZATION = 1e-5 * np.eye(3)


def image(seed=0, low=0.0, high=1.0, shape=(20, 30)):
    """Independent pixels whose channels are correlated."""
    random = np.random.default_rng(seed)
    mixing = random.uniform(size=(3, 3))
    mixing /= mixing.sum(axis=1, keepdims=True)
    pixels = random.uniform(low, high, (*shape, 3)) @ mixing.T
    return np.float32(pixels)


def grey(seed=0):
    return np.repeat(image(seed)[..., :1], 3, axis=2)


def constant(red=0.7, green=0.3, blue=0.2):
    return np.full((5, 6, 3), (red, green, blue), np.float32)


def covariance(image):
    return np.cov(np.float64(image).reshape(-1, 3), rowvar=False, bias=True)


def lch(image):
    """Lightness 0..100, chroma, hue."""
    return np.moveaxis(lab2lch(rgb2lab(np.float64(image))), -1, 0)


EDGE_CASES = {
    "grey": grey(),
    "black": constant(0, 0, 0),
    "white": constant(1, 1, 1),
    "constant": constant(),
    "primaries": np.float32(np.eye(3)[None]),
}


def test_luminance_is_a_sum_of_channels_or_cies_lightness():
    colors = image()
    weighted = colors @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(luminance(colors, "yiq"), weighted, atol=1e-6)
    # Y of the linearized grey value 0.5, then L* = 116 Y^(1/3) - 16.
    Y = ((0.5 + 0.055) / 1.055) ** 2.4
    for space in ("lab", "hcl"):
        found = luminance(constant(0.5, 0.5, 0.5), space)
        np.testing.assert_allclose(found, 1.16 * Y ** (1 / 3) - 0.16, atol=1e-6)
        assert found.dtype == np.float32


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("colors", [image(), *EDGE_CASES.values()])
def test_an_image_with_its_own_luminance_is_unchanged(space, colors):
    found = with_luminance(colors, luminance(colors, space), space)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, colors, atol=2e-5)
    # Grey stays grey.
    found = with_luminance(grey(), image(1)[..., 0], space)
    assert np.ptp(found, axis=2).max() < 1e-3


def test_with_luminance_of_lab_and_hcl_has_that_luminance():
    # Muted colors and medium luminances: all are within sRGB.
    colors = image(low=0.4, high=0.6)
    wanted = luminance(image(1, low=0.4, high=0.6), "lab")
    found = with_luminance(colors, wanted, "lab")
    assert np.abs(luminance(colors, "lab") - wanted).max() > 0.05
    np.testing.assert_allclose(luminance(found, "lab"), wanted, atol=1e-5)
    np.testing.assert_array_equal(found, with_luminance(colors, wanted, "hcl"))


def test_with_luminance_of_yiq_adds_the_difference_to_every_channel():
    colors, wanted = image(), luminance(image(1), "yiq")
    expected = colors + (wanted - luminance(colors, "yiq"))[..., None]
    found = with_luminance(colors, wanted, "yiq")
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("lightness", [0.1, 0.4, 0.7, 0.9])
def test_hcl_keeps_lightness_and_hue_outside_srgb_where_lab_does_not(lightness):
    # One channel at 0 and one at 1: of its hue, the strongest color there is.
    strongest = np.stack([np.linspace(0, 1, 50), np.zeros(50), np.ones(50)], axis=-1)
    strongest = np.random.default_rng(0).permuted(strongest, axis=1)[None]
    _, strongest_chroma, hue = lch(strongest)
    wanted = np.full((1, 50), lightness)
    L, C, h = lch(with_luminance(strongest, wanted, "hcl"))
    np.testing.assert_allclose(L, 100 * lightness, atol=0.02)
    turn = (h - hue + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(C * turn, 0, atol=0.02)
    assert np.all(strongest_chroma > C - 0.02)

    clipped, _, clipped_hue = lch(with_luminance(strongest, wanted, "lab"))
    assert np.abs(clipped - 100 * lightness).max() > 2
    assert np.abs(clipped_hue - hue).max() > 0.1


def test_hcl_keeps_as_much_chroma_as_srgb_has():
    # Pure blue made lighter: the first channel to reach its limit is blue, at 1.
    lighter = with_luminance(constant(0, 0, 1), np.full((5, 6), 0.5), "hcl")
    np.testing.assert_allclose(lighter[..., 2], 1, atol=1e-3)
    assert lighter.min() > 0.1
    for value in (0, 1):
        extreme = with_luminance(constant(), np.full((5, 6), value), "hcl")
        np.testing.assert_allclose(extreme, value, atol=1e-3)


@pytest.mark.parametrize(
    ("function", "images"),
    [
        (luminance, [constant()]),
        (with_luminance, [constant(), constant()[..., 0]]),
        (match_luminance, [constant()[..., 0]] * 2),
        (match_color, [constant()] * 2),
        (covariance_transform, [np.eye(3)] * 2),
    ],
)
def test_unknown_names_are_refused(function, images):
    with pytest.raises(InputError, match=r"^unknown [a-z ]+ 'hsv': known are \w+, "):
        function(*images, "hsv")


FLAT, CONTRASTY = image(0, 0.4, 0.5)[..., 0], image(1, 0.3, 0.9, (7, 9))[..., 0]


def test_match_luminance_has_the_moments_of_the_reference_and_is_clipped():
    found = match_luminance(FLAT, CONTRASTY)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(), CONTRASTY.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.std(), CONTRASTY.std(), rtol=1e-5)
    np.testing.assert_allclose(np.corrcoef(found.ravel(), FLAT.ravel()), 1, rtol=1e-6)
    ramp = np.linspace(0, 1, 12).reshape(3, 4)
    found = match_luminance(ramp, np.zeros(4), "mean")
    np.testing.assert_allclose(found, (ramp - 0.5).clip(0), atol=1e-6)


@pytest.mark.parametrize("moments", ["mean_std", "mean"])
def test_a_flat_luminance_takes_the_mean_of_the_reference(moments):
    # A mean of 0.1 over many pixels is not 0.1 to the last digit.
    reference = image()[..., 0]
    flat = np.full((333, 77), 0.1)
    np.testing.assert_allclose(
        match_luminance(flat, reference, moments), reference.mean(), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("colors", "reference"),
    [
        (image(0), image(1)),
        (grey(), image(1)),
        (image(0), grey()),
        (constant(), image(1)),
        (image(0), constant()),
    ],
)
def test_covariance_transforms_are_those_of_their_definitions(colors, reference):
    C, C_ref = covariance(colors), covariance(reference)
    C_plus, C_ref_plus = C + REGULARIZATION, C_ref + REGULARIZATION
    sqrtm, Q = scipy.linalg.sqrtm, scipy.linalg.sqrtm(C_plus)
    found = {method: covariance_transform(C, C_ref, method) for method in LINEAR}
    for A in found.values():
        np.testing.assert_allclose(A @ C_plus @ A.T, C_ref_plus, atol=1e-10)
    np.testing.assert_array_equal(np.triu(found["cholesky"], 1), 0)
    assert np.all(np.diag(found["cholesky"]) > 0)
    np.testing.assert_allclose(found["pca"] @ Q, sqrtm(C_ref_plus), atol=1e-9)
    A = found["symmetric"]
    np.testing.assert_allclose(A, A.T, atol=1e-9)
    assert np.linalg.eigvalsh(A).min() > 0


def test_eigenvalues_that_rounding_leaves_negative_give_no_nan():
    for seed in range(5):
        # Greys and tints of 0..255, next to whose variances 1e-5 is lost in rounding.
        directions = 255 * np.random.default_rng(seed).uniform(size=(2, 3))
        C, C_ref = (np.outer(direction, direction) for direction in directions)
        for method in ("pca", "symmetric"):
            assert np.all(np.isfinite(covariance_transform(C, C_ref, method)))


@pytest.mark.parametrize("method", LINEAR)
def test_match_color_has_the_mean_and_covariance_of_the_reference(method):
    # Far enough from 0 and 1 that nothing is clipped.
    colors, reference = image(0, 0.2, 0.5), image(1, 0.4, 0.6, shape=(40, 10))
    found = match_color(colors, reference, method)
    assert (found.shape, found.dtype) == (colors.shape, np.float32)
    np.testing.assert_allclose(
        found.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), atol=1e-6
    )
    A = covariance_transform(covariance(colors), covariance(reference), method)
    expected = covariance(reference) + REGULARIZATION - 1e-5 * A @ A.T
    np.testing.assert_allclose(covariance(found), expected, atol=1e-8)
    found = match_color(constant(), colors, method)
    np.testing.assert_allclose(found - colors.mean(axis=(0, 1)), 0, atol=1e-6)
    found = match_color(colors, np.round(image(1, -0.5, 1.5)), method)
    assert (found.min(), found.max()) == (0, 1)


def test_match_color_by_histogram_has_the_values_of_the_reference():
    # As many pixels as the reference: the k-th smallest value becomes its k-th.
    colors, reference = image(0), image(1)
    found = match_color(colors, reference, "histogram")
    assert found.dtype == np.float32
    for channel in range(3):
        ranks = colors[..., channel].ravel().argsort()
        np.testing.assert_allclose(
            found[..., channel].ravel()[ranks],
            np.sort(reference[..., channel].ravel()),
            atol=1e-6,
        )


@pytest.mark.parametrize("method", [*LINEAR, "histogram"])
@pytest.mark.parametrize("colors", [image(), *EDGE_CASES.values()])
def test_match_color_of_few_colors(method, colors):
    np.testing.assert_allclose(match_color(colors, colors, method), colors, atol=1e-6)
    for pair in ((colors, image()), (image(), colors)):
        found = match_color(*pair, method)
        assert np.all(np.isfinite(found))
        assert 0 <= found.min() <= found.max() <= 1
