import itertools

import jax
import numpy as np
import pytest
import restyle_models
from restyle_models import picture

from nstjax.errors import InputError
from nstjax.feedforward.inference import restyle
from nstjax.feedforward.inference.restyle import (
    make_restyler,
    mix_styles,
    normalized_shares,
)
from nstjax.feedforward.networks.adain import EPSILON, make_encoder


@jax.jit
def encoded(params, image):
    return make_encoder(params, "max", "same")(image[None])


@pytest.fixture(scope="module")
def painterly():
    return restyle_models.restyler(restyle_models.painterly())


@pytest.fixture(scope="module")
def arbitrary():
    return restyle_models.restyler(restyle_models.arbitrary())


def test_a_picture_of_a_buckets_size_is_what_the_network_gives(painterly):
    photo = picture(64, 64)
    style = painterly.named_style({"scream": 1.0})
    (result,) = painterly([photo], style)
    scream = np.float32([[0, 1, 0]])
    direct = restyle_models.run(painterly.model.network, photo[None], scream)[0]
    np.testing.assert_allclose(result, np.clip(direct, 0, 1), atol=1e-5)


def test_other_sizes_are_reflected_to_their_bucket(painterly):
    photo = picture(50, 56)
    style = painterly.named_style({"wave": 1.0})
    (result,) = painterly([photo], style)
    padded = np.pad(photo, [(0, 14), (0, 8), (0, 0)], "reflect")
    (whole,) = painterly([padded], style)
    np.testing.assert_allclose(result, whole[:50, :56], atol=1e-5)


def test_pictures_of_one_bucket_share_a_compilation(painterly):
    style = painterly.named_style({"wave": 1.0})
    painterly([picture(60, 60)], style, batch_size=2)
    before = restyle._restyle._cache_size()
    pictures = [picture(64, 50), picture(49, 64, seed=1)]
    together = painterly(pictures, style, batch_size=2)
    painterly([picture(64, 64)], painterly.named_style({"scream": 1.0}), batch_size=2)
    assert restyle._restyle._cache_size() == before
    for photo, result in zip(pictures, together, strict=True):
        assert result.shape == photo.shape
        (alone,) = painterly([photo], style, batch_size=2)
        np.testing.assert_allclose(result, alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["painterly", "arbitrary"])
def test_strength(kind, request):
    restyler = request.getfixturevalue(kind)
    photo = picture(64, 64)
    style = (
        restyler.style_of([picture(48, 48, seed=3)])
        if restyler.arbitrary
        else restyler.named_style({"wave": 1.0})
    )
    weak, half, full = (
        restyler([photo], style, strength)[0] for strength in (0.0, 0.5, 1.0)
    )
    if restyler.arbitrary:
        # The photo's own style is the photo, as the decoder shows it.
        padded = np.pad(photo, [(32, 32), (32, 32), (0, 0)], "reflect")
        code = encoded(restyler.encoder, padded)
        decoded = np.asarray(restyle_models.run(restyler.model.network, code))
        decoded = decoded[0, 32:96, 32:96]
        np.testing.assert_allclose(weak, decoded.clip(0, 1), atol=1e-4)
    else:
        np.testing.assert_allclose(weak, photo, atol=1e-6)
        np.testing.assert_allclose(half, (photo + full) / 2, atol=1e-5)
    assert np.abs(full - weak).max() > 0.05
    assert np.abs(half - weak).max() < np.abs(full - weak).max()


def test_a_one_hot_mixture_is_the_style(painterly):
    photo = picture(64, 64)
    (alone,) = painterly([photo], painterly.named_style({"scream": 1.0}))
    (mixed,) = painterly([photo], painterly.named_style({"wave": 0.0, "scream": 5.0}))
    np.testing.assert_array_equal(alone, mixed)


@pytest.mark.parametrize("kind", ["painterly", "arbitrary"])
def test_mixtures_vary_smoothly(kind, request):
    restyler = request.getfixturevalue(kind)
    photo = picture(64, 64)
    if restyler.arbitrary:
        ends = [restyler.style_of([picture(48, 48, seed=seed)]) for seed in (1, 2)]
    else:
        ends = [restyler.named_style({name: 1.0}) for name in ("wave", "lilies")]
    way = [
        restyler([photo], mix_styles(ends, [1 - share, share]))[0]
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
    mean, deviation = arbitrary.style_of([painting])
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(deviation, np.sqrt(flat.var(0) + EPSILON), rtol=1e-4)


def test_shares_of_paintings(arbitrary):
    paintings = [picture(48, 48, seed=seed) for seed in (1, 2)]
    styles = [arbitrary.style_of([painting]) for painting in paintings]
    mixed = arbitrary.style_of(paintings, [1.0, 3.0])
    for part, first, second in zip(mixed, *styles, strict=True):
        np.testing.assert_allclose(part, 0.25 * first + 0.75 * second, rtol=1e-5)


def test_a_picture_in_its_own_style_stays(arbitrary):
    photo = picture(64, 64)
    padded = np.pad(photo, [(32, 32), (32, 32), (0, 0)], "reflect")
    own = arbitrary.style_of([padded])
    (restyled,) = arbitrary([photo], own, 1.0)
    (kept,) = arbitrary([photo], own, 0.0)
    np.testing.assert_allclose(restyled, kept, atol=1e-3)


@pytest.mark.parametrize("kind", ["painterly", "arbitrary"])
def test_tiles_give_the_same(kind, request):
    restyler = request.getfixturevalue(kind)
    photo = picture(58, 61)
    style = (
        restyler.style_of([picture(48, 48, seed=3)])
        if restyler.arbitrary
        else restyler.named_style({"lilies": 1.0, "wave": 1.0})
    )
    (whole,) = restyler([photo], style, 0.4)
    seen = []
    tiled = restyler.in_tiles(
        photo,
        style,
        0.4,
        tile=24,
        progress=lambda done, total: seen.append((done, total)),
    )
    np.testing.assert_allclose(tiled, whole, atol=2e-4)
    assert seen[-1][0] == seen[-1][1] > 1


def test_unknown_names(painterly):
    with pytest.raises(InputError, match="unknown style 'mosaic': known are wave"):
        painterly.named_style({"mosaic": 1.0})


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


def test_pictures_that_are_too_small(painterly):
    with pytest.raises(InputError, match="7x20 pixels is too small"):
        painterly([picture(20, 7)], painterly.named_style({"wave": 1.0}))


def test_another_encoder_is_refused():
    model = restyle_models.arbitrary()
    other = restyle_models.encoder()._replace(sha256="00" * 32)
    with pytest.raises(InputError, match="trained on another encoder than narrow"):
        make_restyler(model, lambda: other)
