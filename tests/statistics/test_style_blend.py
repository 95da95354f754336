"""Several paintings in one style: their descriptions are blended."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from style_distances import LOSSES, SAMPLED, N, activation, compiled_distance, describe

from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import blend_styles

blend = jax.jit(blend_styles, static_argnums=2)
# The sampled ones keep the same.
KINDS = [name for name in LOSSES if name not in SAMPLED or name == "histogram"]


def test_gram_matrices_blend_to_the_weighted_mean():
    first, second = np.eye(2), np.ones((2, 2))
    np.testing.assert_allclose(
        blend([first, second], [1, 3], StyleForm()),
        0.25 * first + 0.75 * second,
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", KINDS)
def test_blend_takes_weights_of_any_scale(name):
    form = StyleForm(name)
    descriptions = [
        describe(jnp.float32(activation(seed)), form, jax.random.key(seed), channels=N)
        for seed in (1, 2)
    ]
    shares = np.float32([0.25, 0.75])
    expected = blend(descriptions, shares, form)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    for scale in np.float32([1e-30, 1e30]):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5),
            blend(descriptions, scale * shares, form),
            expected,
        )


def test_samples_blend_by_their_weights(float64):
    form, key = StyleForm("histogram"), jax.random.key(2)
    descriptions = [
        describe(P, form, key, channels=N)
        for P in (activation(1), activation(2, (3, 5, 4)))
    ]
    blended = blend(descriptions, [1, 3], form)
    np.testing.assert_array_equal(
        blended.values, np.concatenate([one.values for one in descriptions])
    )
    # 35 and 15 positions.
    np.testing.assert_allclose(blended.weights[:35], 0.25 / 35)
    np.testing.assert_allclose(blended.weights[35:], 0.75 / 15)


def test_histogram_of_a_blend_holds_the_shares(float64):
    # A quarter of the samples is 1, the rest 2: mean y² is 0.25 + 0.75·4.
    form, key = StyleForm("histogram"), jax.random.key(2)
    blended = blend(
        [
            describe(np.full(shape, value), form, key, channels=1)
            for shape, value in (((3, 4, 1), 1.0), ((5, 4, 1), 2.0))
        ],
        [1, 3],
        form,
    )
    found = compiled_distance(
        np.zeros((4, 4, 1)), None, form, key, channels=1, description=blended
    )
    np.testing.assert_allclose(found, 500 * 3.25, rtol=1e-12)


# mmd-poly keeps a Gram matrix, too.
@pytest.mark.parametrize("name", ["gram", "mmd-linear", "wasserstein2"])
def test_blend_by_size_is_the_painting_of_both(name, float64):
    F, P = activation(0), activation(1, (8, 7, 4))
    form, key = StyleForm(name), jax.random.key(2)
    blended = blend(
        [describe(part, form, key, channels=N) for part in (P[:2], P[2:])],
        [2, 6],
        form,
    )
    np.testing.assert_allclose(
        compiled_distance(F, None, form, key, description=blended),
        compiled_distance(F, P, form, key),
        rtol=1e-9,
    )
