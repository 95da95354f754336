"""Restyling pictures in memory, whole and in tiles."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import restyle_models
from feedforward_networks import run
from restyle_models import picture

from nstjax.errors import InputError
from nstjax.feedforward.inference.descend import descend
from nstjax.feedforward.inference.restyle import (
    make_restyler,
    mixture,
    normalized_shares,
)
from nstjax.feedforward.networks.adain import EPSILON, make_encoder


@jax.jit
def encoded(params, image):
    return make_encoder(params, "max")(image[None])


@pytest.fixture(scope="module")
def painterly():
    return restyle_models.restyler(restyle_models.painterly())


@pytest.fixture(scope="module")
def arbitrary():
    return restyle_models.restyler(restyle_models.arbitrary())


@pytest.fixture(params=["painterly", "arbitrary"])
def either(request, painterly, arbitrary):
    """A restyler and two styles for it."""
    if request.param == "arbitrary":
        return arbitrary, [arbitrary.style_of(picture(48, 48, seed)) for seed in (1, 3)]
    return painterly, [painterly.named_style(name) for name in ("wave", "lilies")]


def test_pictures_of_one_bucket_are_reflected_and_share_a_compilation(
    painterly, compilations
):
    style = painterly.named_style("wave")
    # Another test may have compiled the same.
    jax.clear_caches()
    painterly([picture(60, 60)], style, batch_size=2)
    before = len(compilations())
    pictures = [picture(64, 50), picture(50, 56, seed=1)]
    together = painterly(pictures, style, batch_size=2)
    assert len(compilations()) == before > 0
    for photo, result in zip(pictures, together, strict=True):
        height, width, _ = photo.shape
        borders = [(0, 64 - height), (0, 64 - width), (0, 0)]
        padded = np.pad(photo, borders, "reflect")
        (whole,) = run(painterly.model.network, padded[None], np.float32([[1, 0, 0]]))
        expected = np.clip(whole[:height, :width], 0, 1)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_strength(either):
    restyler, (style, _) = either
    photo = picture(64, 64)
    weak, half, full = (
        restyler([photo], style, strength)[0] for strength in (0.0, 0.5, 1.0)
    )
    if restyler.arbitrary:
        # The photo's own style is the photo, as the decoder shows it.
        padded = np.pad(photo, [(32, 32), (32, 32), (0, 0)], "reflect")
        code = encoded(restyler.encoder, padded)
        decoded = np.asarray(run(restyler.model.network, code))
        decoded = decoded[0, 32:96, 32:96]
        np.testing.assert_allclose(weak, decoded.clip(0, 1), atol=1e-4)
        (own,) = restyler([photo], restyler.style_of(padded))
        np.testing.assert_allclose(own, weak, atol=1e-3)
    else:
        np.testing.assert_allclose(weak, photo, atol=1e-6)
        np.testing.assert_allclose(half, (photo + full) / 2, atol=1e-5)
    assert np.abs(full - weak).max() > 0.05
    assert np.abs(half - weak).max() < np.abs(full - weak).max()


def test_mixtures_vary_smoothly(either):
    restyler, ends = either
    photo = picture(64, 64)
    way = [
        restyler([photo], mixture(ends, [1 - share, share]))[0]
        for share in np.linspace(0, 1, 21)
    ]
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(way)]
    whole = np.abs(way[-1] - way[0]).mean()
    assert whole > 0.01
    assert max(steps) < 0.2 * whole
    np.testing.assert_array_equal(way[0], restyler([photo], ends[0])[0])


def test_a_paintings_style_is_its_codes_moments(arbitrary):
    painting = picture(48, 48, seed=4)
    code = encoded(arbitrary.encoder, painting)
    flat = np.asarray(code[0], np.float64).reshape(-1, code.shape[-1])
    mean, deviation = arbitrary.style_of(painting)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(deviation, np.sqrt(flat.var(0) + EPSILON), rtol=1e-4)


def test_tiles_give_the_same(either):
    restyler, styles = either
    photo, style = picture(58, 61), mixture(styles, [0.5, 0.5])
    (whole,) = restyler([photo], style, 0.4)
    seen = []
    tiled = restyler.in_tiles(
        photo, style, 0.4, tile=24, progress=lambda *numbers: seen.append(numbers)
    )
    np.testing.assert_allclose(tiled, whole, atol=2e-4)
    assert seen[-1][0] == seen[-1][1] > 1


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ([0.0, 0.0], "sum to 0"),
        ([1.0, -0.5], "0 or more, got 1, -0.5"),
        ([float("nan")], "0 or more, got nan"),
        ([1e308, 1e308], "sum to inf"),
    ],
)
def test_shares_that_are_no_mixture(shares, says):
    with pytest.raises(InputError, match=says):
        normalized_shares(shares)


@pytest.mark.parametrize(("steps", "side"), [((1, 2), 64), ((1, 1, 1, 1), 128)])
def test_a_small_photo_is_reflected_as_far_as_learned_descent_needs(steps, side):
    model = restyle_models.descending()
    architecture = dataclasses.replace(model.network.architecture, steps=steps)
    model = model._replace(network=restyle_models.filled(architecture, 0.15))
    descending, photo = restyle_models.restyler(model), picture(20, 7)
    style = descending.style_of(picture(128, 130))
    borders = [(8, side - 28), (8, side - 15), (0, 0)]
    reflected = np.pad(photo, borders, mode="reflect")[None]
    (expected,) = descend(
        model.network, descending.encoder, reflected, style, pool="max"
    )
    (found,) = descending([photo], style)
    expected = np.clip(expected[8:28, 8:15], 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - photo).mean() > 0.01


def test_a_small_painting_is_reflected_as_far_as_learned_descent_needs():
    descending = restyle_models.restyler(restyle_models.descending())
    painting = picture(20, 41)
    reflected = np.pad(painting, [(0, 12), (0, 0), (0, 0)], mode="reflect")
    found, expected = map(descending.style_of, (painting, reflected))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_does_not_fit_the_model_is_refused(painterly):
    with pytest.raises(InputError, match="unknown style 'mosaic': known are wave"):
        painterly.named_style("mosaic")
    with pytest.raises(InputError, match="7x20 pixels is too small"):
        painterly([picture(20, 7)], painterly.named_style("wave"))
    other = restyle_models.encoder()._replace(sha256="00" * 32)
    with pytest.raises(InputError, match="trained on another encoder than narrow"):
        make_restyler(restyle_models.arbitrary(), lambda: other)
