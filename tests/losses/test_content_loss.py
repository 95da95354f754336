"""Each content loss is the published one."""

from typing import get_args

import jax
import numpy as np
import pytest
import reference

from nstjax.losses.content import ContentNormalization, content_loss

CONTENT_FORMS = {
    "half_sum": reference.gatys_content,
    "mean": reference.mean_content,
    "half_mean": reference.matlab_content,
    "quarter_mean": reference.coursera_content,
    "scaled": reference.scaled_mse,
    "relative": reference.relative_content,
}


def activations(seed=0, shape=(5, 7, 4)):
    return 30 * np.random.default_rng(seed).normal(size=(2, *shape))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_content_loss_equals_the_published_formula(form, dtype, rtol, float64):
    F, P = activations()
    found = jax.jit(content_loss, static_argnums=2)(dtype(F), dtype(P), form)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, CONTENT_FORMS[form](F, P), rtol=rtol)


def test_every_content_normalization_has_its_reference():
    assert set(CONTENT_FORMS) == set(get_args(ContentNormalization))


def test_content_loss_rejects_a_target_of_another_shape():
    # Without the check, [3, 3] against [1, 3] would be repeated in silence.
    with pytest.raises(ValueError, match="expected"):
        content_loss(np.ones((3, 3)), np.ones((1, 3)))
