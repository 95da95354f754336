import functools
from typing import get_args

import jax
import numpy as np
import pytest
import reference

from nstjax.statistics.gram import gram_matrix, style_loss
from nstjax.statistics.normalization import StyleNormalization

FORMS = {
    ("hw", "quarter_mean"): reference.gatys_style,
    ("hw", "mean_per_c2"): reference.gatys_code_style,
    ("chw", "mean"): reference.johnson_style,
    ("none", "quarter_mean_per_hw2"): reference.coursera_style,
    ("none", "mean_per_hwc2"): reference.matlab_style,
    ("hw", "scaled"): reference.scaled_style,
    ("chw", "unscaled"): reference.johnson_style,
}
PRECISIONS = [(np.float64, 1e-12), (np.float32, 2e-5)]


def activations(seed=0, shape=(5, 7, 4)):
    return 30 * np.random.default_rng(seed).normal(size=(2, *shape))


# As one program: each of its operations would compile by itself.
@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def style_term(F, P, gram_normalization, style_normalization, channels=None):
    return style_loss(
        gram_matrix(F, gram_normalization, channels),
        gram_matrix(P, gram_normalization, channels),
        F.shape[0] * F.shape[1],
        style_normalization,
        channels,
    )


value_and_gradient = jax.jit(
    jax.value_and_grad(lambda x, target: style_loss(x, target, 4, "scaled"))
)


def test_every_normalization_has_its_reference():
    assert {name for _, name in FORMS} == set(get_args(StyleNormalization))


@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS)
@pytest.mark.parametrize("forms", FORMS)
def test_style_loss_equals_the_published_formula(forms, dtype, rtol, float64):
    F, P = activations()
    found = style_term(dtype(F), dtype(P), *forms)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, FORMS[forms](F, P), rtol=rtol)


@pytest.mark.parametrize("forms", [key for key in FORMS if key[0] != "none"])
def test_style_loss_compares_pictures_of_different_sizes(forms, float64):
    (F, _), (P, _) = activations(), activations(1, (8, 3, 4))
    np.testing.assert_allclose(style_term(F, P, *forms), FORMS[forms](F, P), rtol=1e-12)


@pytest.mark.parametrize("forms", FORMS)
def test_style_loss_counts_the_channels_that_it_is_told(forms, float64):
    # As if the channels that are missing were 0.
    F, P = activations()
    wide = [np.pad(X, ((0, 0), (0, 0), (0, 6))) for X in (F, P)]
    found = style_term(F, P, *forms, 10)
    np.testing.assert_allclose(found, FORMS[forms](*wide), rtol=1e-12)


def test_gatys_code_is_johnsons_formula_at_a_thousand_to_one(float64):
    # 1e3 / C² · mean(ΔG_hw²) = 1e3 · mean(ΔG_chw²), for pictures of any two sizes.
    (F, _), (P, _) = activations(), activations(1, (8, 3, 4))
    gatys = 1e3 * style_term(F, P, "hw", "mean_per_c2")
    johnson = 1e3 * style_term(F, P, "chw", "mean")
    np.testing.assert_allclose(gatys, johnson, rtol=1e-12)


def test_equation_4_is_a_quarter_of_the_mean_over_positions(float64):
    # E_l = Σ (ΔS)² / (4 N² M²) = ¼ mean(ΔG_hw²)
    F, P = activations()
    N, M = 4, 35
    equation_4 = np.sum((reference.gram(F) - reference.gram(P)) ** 2) / (
        4 * N**2 * M**2
    )
    for forms in (("hw", "quarter_mean"), ("none", "quarter_mean_per_hw2")):
        np.testing.assert_allclose(style_term(F, P, *forms), equation_4, rtol=1e-12)


def test_style_loss_rejects_a_target_of_another_shape():
    # Without the check, [3, 3] against [1, 3] would be repeated in silence.
    with pytest.raises(ValueError, match="expected"):
        style_loss(np.ones((3, 3)), np.ones((1, 3)), 4)


def test_scaled_style_loss_has_a_gradient_of_about_one_in_norm_1(float64):
    # Its purpose, whatever the size of what is compared: exactly 1 for equal
    # differences, whose gradient is 2d/S - Σd²/S² = 1/n each.
    for size in (1e-3, 1.0, 1e6):
        x, target = np.full((3, 4), size), np.zeros((3, 4))
        _, gradient = value_and_gradient(x, target)
        np.testing.assert_allclose(gradient, 1 / 12, rtol=1e-4)


def test_scaled_style_loss_differentiates_its_denominator(float64):
    x, target = activations(2, (2, 3, 1))
    _, gradient = value_and_gradient(x, target)
    d = x - target
    size = np.abs(d).sum()
    np.testing.assert_allclose(
        gradient, 2 * d / size - np.sum(d**2) * np.sign(d) / size**2, rtol=1e-8
    )


def test_scaled_style_loss_is_still_where_nothing_differs():
    ONES = np.ones((5, 5), np.float32)
    value, gradient = value_and_gradient(ONES, ONES)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
