"""Learned descent of photos: step by step, whole and in tiles."""

import jax
import numpy as np
import pytest
import restyle_models
from restyle_models import picture

from nstjax.errors import InputError
from nstjax.feedforward.inference.descend import descend, describe_painting
from nstjax.feedforward.inference.restyle import make_restyler
from nstjax.feedforward.networks import descent

MODEL = restyle_models.descending()
PARAMS = MODEL.network.encoder_params()


@pytest.fixture(scope="module")
def style():
    # Of two values that nearly tie, rounding would choose the maximum.
    return describe_painting(PARAMS, picture(48, 56, seed=3), "avg", 2)


@jax.jit
def step(image, photo, grams):
    gradient = descent.normalized_gradient(PARAMS, "avg", image, grams)
    return MODEL.network(image, photo, gradient)


def test_one_step_at_half_the_size_and_two_at_full_size(style):
    photos = np.stack([picture(48, 64, seed) for seed in (0, 1)])
    small, large = descent.pyramid(photos, 2)
    both = jax.tree.map(lambda leaf: np.stack([leaf] * 2), style)
    image = step(descent.first_image(small, both), small, both.grams[0])
    for detail in (1.0, 0.25):
        expected = descent.enlarged_image(image, small, large, detail)
        for _ in range(2):
            expected = step(expected, large, both.grams[1])
        found = descend(
            *(MODEL.network, PARAMS, photos, style), pool="avg", detail=detail
        )
        assert np.abs(expected - photos).mean() > 0.02
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_tiles_give_the_same_as_in_one_piece(style):
    photo = picture(96, 160, seed=2)[None]
    options = {"pool": "avg", "detail": 0.5}
    whole = descend(MODEL.network, PARAMS, photo, style, **options)
    seen = []
    tiled = descend(
        *(MODEL.network, PARAMS, photo, style),
        **options,
        tile=40,
        progress=lambda *numbers: seen.append(numbers),
    )
    np.testing.assert_allclose(tiled, whole, atol=2e-4)
    # 2 × 2 tiles at half the size, and twice 3 × 4 at full size.
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {28}
    assert seen[-1] == (28, 28)


def test_a_second_photo_of_the_size_compiles_nothing(style, compilations):
    # Another test may have compiled the same.
    jax.clear_caches()
    options = {"pool": "avg"}
    other = jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], style)
    descend(MODEL.network, PARAMS, picture(48, 64)[None], style, **options)
    before = len(compilations())
    descend(MODEL.network, PARAMS, picture(48, 64, 5)[None], other, **options)
    assert len(compilations()) == before > 0


def test_the_network_sees_no_further_than_its_halo():
    architecture = MODEL.network.architecture
    side = 2 * architecture.halo + 2 * architecture.stride
    image = np.zeros((1, side, side, 3), np.float32) + 0.5
    place = np.zeros_like(image)
    middle = side // 2
    place[0, middle : middle + architecture.stride] = 1
    change = jax.jit(MODEL.network)(image, image, place) - jax.jit(MODEL.network)(
        image, image, 0 * place
    )
    rows = np.abs(change[0]).max((1, 2)) > 0
    first, last = middle - architecture.halo, middle + architecture.stride
    assert rows[middle]
    assert not rows[:first].any()
    assert not rows[last + architecture.halo :].any()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"refine": -1}, "refine must lie in 0..1000, got -1"),
        ({"detail": 1.5}, "detail must lie in 0..1, got 1.5"),
        ({"detail": float("nan")}, "detail must lie in 0..1, got nan"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        make_restyler(MODEL, restyle_models.encoder, **options)


@pytest.mark.parametrize("options", [{"refine": 2}, {"detail": 0.5}])
@pytest.mark.parametrize("model", ["painterly", "arbitrary"])
def test_other_networks_have_no_such_options(model, options):
    with pytest.raises(InputError, match="are for models of learned descent"):
        make_restyler(
            getattr(restyle_models, model)(), restyle_models.encoder, **options
        )


def test_a_named_style_is_that_of_its_painting_and_mixes_with_the_photo():
    named = restyle_models.restyler(restyle_models.descending_by_name())
    assert not named.arbitrary
    plain = restyle_models.restyler(MODEL)
    photo, style = picture(64, 64), named.named_style("lilies")
    painting = plain.style_of(picture(48, 56, 3))
    full, half, none = (named([photo], style, share)[0] for share in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(full, plain([photo], painting)[0], atol=1e-5)
    assert np.abs(full - photo).mean() > 0.02
    np.testing.assert_allclose(half, (photo + full) / 2, atol=1e-6)
    np.testing.assert_allclose(none, photo, atol=1e-6)
    tiled = named.in_tiles(photo, style, 0.5, tile=32)
    np.testing.assert_allclose(tiled, half, atol=2e-4)
    with pytest.raises(InputError, match="unknown style 'scream': known are wave, lil"):
        named.named_style("scream")
