import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from style_distances import (
    FORMULAS,
    LOSSES,
    SAMPLED,
    N,
    activation,
    compiled_distance,
    describe,
    distance,
    gaussian_formula,
    spread,
    value_and_gradient,
)

from nstjax.statistics import mmd, sampling
from nstjax.statistics.gram import gram_matrix, style_loss
from nstjax.statistics.mmd import gaussian_precision
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.sampling import Samples
from nstjax.statistics.style import describe_style, style_distance

GAUSSIAN = {"mmd-gaussian": 1000, "mmd-gaussian-full": 100}  # and draws for a mean
EXACT = [name for name in LOSSES if name not in SAMPLED]
# Of every preset: Grams and what their difference is divided by.
NORMALIZATIONS = [
    ("hw", "quarter_mean"),
    ("hw", "mean_per_c2"),
    ("chw", "mean"),
    ("none", "quarter_mean_per_hw2"),
    ("none", "mean_per_hwc2"),
]


@functools.partial(jax.jit, static_argnames=("form", "draws"))
def drawn_distances(F, P, form, draws):
    keys = jax.random.split(jax.random.key(0), draws)
    return jax.lax.map(lambda key: distance(F, P, form, key), keys)


def mean_distance(F, P, form, draws):
    """Mean and standard error of E_l over keys."""
    of_keys = np.asarray(drawn_distances(F, P, form, draws))
    return np.mean(of_keys), np.std(of_keys) / np.sqrt(draws)


@pytest.mark.parametrize("name", FORMULAS)
def test_distance_equals_the_formula(name, float64):
    # Those that keep no positions compare pictures of different sizes.
    F, P = activation(0), activation(1, (8, 3, 4) if name in EXACT else (5, 7, 4))
    found = compiled_distance(F, P, StyleForm(name), jax.random.key(0))
    assert found.shape == ()
    np.testing.assert_allclose(found, FORMULAS[name](F, P), rtol=1e-10)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_mmd_is_that_of_all_pairs_in_the_mean(name, float64):
    F, P = activation(0, (12, 12, 4)), activation(1, (12, 12, 4))
    found, error = mean_distance(F, P, StyleForm(name), GAUSSIAN[name])
    expected = gaussian_formula(F, P)
    assert 0 < error < 0.05 * expected
    assert abs(found - expected) < 4 * error + 0.01 * expected


def test_sliced_distance_of_a_shift_is_its_square_in_the_mean(float64):
    F, shift = activation(0), np.array([3.0, -20, 7, 0])
    P = np.random.default_rng(5).permutation(spread(F)).reshape(F.shape) + shift
    found, error = mean_distance(F, P, StyleForm("sliced"), 300)
    expected = 500 / N * np.sum(shift**2)
    assert 0 < error < 0.05 * expected
    assert abs(found - expected) < 4 * error


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in GAUSSIAN])
def test_distance_of_a_painting_to_itself_is_zero(name, float64):
    F, P = activation(0), activation(1)
    form, key = StyleForm(name), jax.random.key(0)
    other = compiled_distance(F, P, form, key)
    # Its iteration finds the square root of C², whose eigenvalues spread widely.
    tolerance = 1e-6 if name == "wasserstein2" else 1e-12
    assert abs(compiled_distance(P, P, form, key)) < tolerance * other


@pytest.mark.parametrize("gram_normalization, style_normalization", NORMALIZATIONS)
def test_mmd_poly_is_the_gram_loss(gram_normalization, style_normalization, float64):
    @jax.jit
    def found(F, P):
        key = jax.random.key(0)
        names = ("mmd-poly", "gram")
        forms = (StyleForm(n, gram_normalization, style_normalization) for n in names)
        grams = (gram_matrix(X, gram_normalization, N) for X in (F, P))
        return (
            *(distance(F, P, form, key) for form in forms),
            style_loss(*grams, 35, style_normalization, N),
        )

    poly, gram, expected = found(activation(0), activation(1))
    np.testing.assert_allclose(gram, expected, rtol=1e-11)
    np.testing.assert_allclose(poly, expected, rtol=1e-11)


# mmd-poly is the Gram loss, as just seen. Of those that draw, one is enough.
@pytest.mark.parametrize(
    "name, normalizations",
    list(
        zip(
            ["mmd-linear", "histogram", "wasserstein2", "moments"],
            NORMALIZATIONS[1:],
            strict=True,
        )
    ),
)
def test_losses_are_as_many_times_gatys_as_the_gram_loss(name, normalizations, float64):
    F, P = activation(0), activation(1)
    key = jax.random.key(0)

    def ratio(name):
        found, gatys = (
            compiled_distance(F, P, form, key)
            for form in (StyleForm(name, *normalizations), StyleForm(name))
        )
        return found / gatys

    np.testing.assert_allclose(ratio(name), ratio("gram"), rtol=1e-11)


@pytest.mark.parametrize(
    ("name", "style_normalization"),
    [
        *((name, "unscaled") for name in ("mmd-poly", "moments", "wasserstein2")),
        ("mmd-linear", "scaled"),
    ],
)
def test_unscaled_distance_is_the_mean_over_the_channels(
    name, style_normalization, float64
):
    F, P = activation(0), activation(1)
    form = StyleForm(name, "hw", style_normalization)
    factor = {"moments": 1e3, "mmd-linear": 1e4, "mmd-poly": 0.25 / N}.get(name, 500)
    np.testing.assert_allclose(
        compiled_distance(F, P, form, jax.random.key(0)),
        FORMULAS[name](F, P) / factor,
        rtol=1e-10,
    )


@pytest.mark.parametrize("name", [*EXACT, "histogram"])
def test_guide_of_a_part_describes_that_part(name, float64):
    F, T = activation(0, (6, 8, 4)), reference.half_guide(6, 8)
    form, key = StyleForm(name), jax.random.key(3)
    found, expected = jax.tree.map(
        np.asarray,
        (
            describe(F, form, key, guide=T, channels=N),
            describe(F[:, :4], form, key, channels=N),
        ),
    )
    if name in SAMPLED:
        # As many positions as the whole layer has: each of the part's twice.
        weights = expected.weights.repeat(2) / 2
        expected = Samples(expected.values.repeat(2, axis=0), weights)
        found, expected = (
            Samples(values[np.lexsort(values.T)], weights)
            for values, weights in (found, expected)
        )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_positions_are_drawn_by_the_square_of_the_guide(float64):
    # Of 36 positions in four rows, T² = 0, 0.5, 1 and 2.5 gives each of a row so many.
    F = np.arange(36.0).reshape(4, 9, 1)
    T = np.sqrt(np.repeat([[0], [0.5], [1], [2.5]], 9, axis=1))
    drawn = describe(F, StyleForm("histogram"), jax.random.key(0), guide=T, channels=1)
    rows = np.bincount(np.asarray(drawn.values, int)[:, 0] // 9, minlength=4)
    assert np.abs(rows - 9 * np.array([0, 0.5, 1, 2.5])).max() < 2


def test_of_large_layers_each_key_draws_its_own_samples(monkeypatch, float64):
    # Of the sampled losses the one that draws nothing else: that the others' draws
    # differ, the standard errors above tell.
    monkeypatch.setattr(sampling, "SAMPLES", 16)
    F, P, form = activation(0), activation(1), StyleForm("histogram")

    @jax.jit
    def found(seed):
        target = describe_style(P, form, jax.random.key(9), channels=N)
        distance = style_distance(F, target, form, jax.random.key(seed), channels=N)
        return target, distance

    (samples, first), (_, again), (_, other) = (found(seed) for seed in (0, 0, 1))
    assert first == again != other
    assert samples.values.shape == (16, 4)
    np.testing.assert_allclose(samples.weights, 1 / 16)
    rows = {tuple(row) for row in spread(P)}
    assert {tuple(row) for row in np.asarray(samples.values)} <= rows


# What sorts or takes pairs has its gradients tested by itself, one way of each is
# enough here. Without a guide, the statistics' own tests see the gradient.
@pytest.mark.parametrize("name", [*EXACT, "histogram", "mmd-gaussian-full"])
def test_distance_has_the_gradient_of_finite_differences(name, monkeypatch, float64):
    guide = reference.half_guide(4, 5)
    # Without ties, where sorting has a kink.
    noise = np.random.default_rng(2).uniform(size=(4, 5, 3))
    F, P = activation(0, (4, 5, 3)) + noise, activation(1, (4, 5, 3))
    form, key, widths = StyleForm(name), jax.random.key(4), []

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def f(F, width):
        def precision(x, y):
            # One width of all kernels, where it is given.
            widths.append(jnp.where(width > 0, width, gaussian_precision(x, y)))
            return widths[0]

        widths.clear()
        monkeypatch.setattr(mmd, "gaussian_precision", precision)
        return distance(F, P, form, key, guide), (*widths,)

    (_, width), gradient = f(F, np.float64(0))
    # The kernel's width has no gradient: it is kept at that of F.
    kept = np.float64(*width)
    step = 1e-4
    changes = step * np.eye(F.size).reshape(-1, *F.shape)
    above, below = (
        np.array([f(F + change, kept)[0][0] for change in changes])
        for changes in (changes, -changes)
    )
    slopes = (above - below) / (2 * step)
    scale = np.abs(gradient).max()
    assert scale > 0
    np.testing.assert_allclose(gradient.ravel(), slopes, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_array_equal(gradient[guide == 0], 0)


# All pairs have the kernel of some of them, and channels are sorted as directions are.
@pytest.mark.parametrize(
    "name",
    [name for name in LOSSES if name not in ("mmd-gaussian-full", "histogram")],
)
def test_gradient_is_finite_where_the_image_is_constant(name):
    for level in (0, 100):
        F = np.full((5, 7, 4), level, np.float32)
        for P in (F, np.float32(activation(1))):
            found = value_and_gradient(F, P, StyleForm(name), jax.random.key(0))
            value, gradient = jax.tree.map(np.asarray, found)
            assert gradient.dtype == np.float32
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
