from typing import get_args

import jax
import numpy as np
import pytest
import reference

from nstjax.losses.total_variation import TotalVariationForm
from nstjax.losses.total_variation import total_variation as total_variation_of_any_form

total_variation, value_and_gradient = (
    jax.jit(function, static_argnums=1)
    for function in (
        total_variation_of_any_form,
        jax.value_and_grad(total_variation_of_any_form),
    )
)
FORMS = {
    "squared": reference.johnson_tv,
    "mean_squared": reference.athalye_tv,
    "mean_squared_replicate": reference.crowson2021_tv,
    "l1": reference.l1_tv,
    "nine_point": reference.nine_point_tv,
    "power": reference.titu_tv,
}


def test_every_form_has_its_reference():
    assert set(FORMS) == set(get_args(TotalVariationForm))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("size", "dtype", "rtol"),
    [
        *(((7, 10), np.float64, 1e-12), ((2, 2), np.float32, 2e-5)),
    ],
)
def test_total_variation_equals_the_published_formula(size, form, dtype, rtol, float64):
    image = reference.random_image(0, *size)
    found = total_variation(dtype(image), form)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, FORMS[form](image), rtol=rtol)


@pytest.mark.parametrize("form", FORMS)
def test_total_variation_has_the_gradient_of_finite_differences(form, float64):
    image = reference.random_image(0, 4, 5)
    _, gradient = value_and_gradient(image, form)
    step = 1e-4
    for index in np.ndindex(image.shape):
        change = np.zeros_like(image)
        change[index] = step
        slope = (FORMS[form](image + change) - FORMS[form](image - change)) / (2 * step)
        np.testing.assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_total_variation_of_a_constant_image_is_zero_and_still(form):
    for level in (0, 100):
        image = np.full((4, 5, 3), level, np.float32)
        value, gradient = value_and_gradient(image, form)
        assert value == 0
        # |dx| has a kink there: any slope from -1 to 1 for each difference.
        assert np.abs(gradient).max() <= (4 if form == "l1" else 0)
