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
    ("hw", "relative"): reference.relative_style,
}


def activations(seed=0, shape=(5, 7, 4)):
    return 30 * np.random.default_rng(seed).normal(size=(2, *shape))


# As one program: each of its operations would compile by itself.
@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def style_term(F, P, gram_normalization, style_normalization, channels):
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


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("forms", FORMS)
def test_style_loss_equals_the_published_formula(forms, dtype, rtol, float64):
    F, P = activations()
    if forms[0] != "none":
        # Of another size.
        P = activations(1, (8, 3, 4))[1]
    for missing in (0, 6):
        # A layer stands for one with more channels, of which the others are 0.
        found = style_term(dtype(F), dtype(P), *forms, 4 + missing)
        assert found.dtype == dtype
        assert found.shape == ()
        wide = [np.pad(X, ((0, 0), (0, 0), (0, missing))) for X in (F, P)]
        np.testing.assert_allclose(found, FORMS[forms](*wide), rtol=rtol)


def test_style_loss_rejects_a_target_of_another_shape():
    # Without the check, [3, 3] against [1, 3] would be repeated in silence.
    with pytest.raises(ValueError, match="expected"):
        style_loss(np.ones((3, 3)), np.ones((1, 3)), 4)


def test_scaled_style_loss_differentiates_its_denominator(float64):
    x, target = activations(2, (2, 3, 1))
    _, gradient = value_and_gradient(x, target)
    d = x - target
    size = np.abs(d).sum()
    np.testing.assert_allclose(
        gradient, 2 * d / size - np.sum(d**2) * np.sign(d) / size**2, rtol=1e-8
    )


def test_scaled_style_loss_is_still_where_nothing_differs():
    ones = np.ones((5, 5), np.float32)
    value, gradient = value_and_gradient(ones, ones)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
