import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from nstjax.errors import InputError
from nstjax.statistics import mmd

# As one program each: an operation on its own would compile by itself.
linear_kernel, gaussian_kernel, gaussian_precision = map(
    jax.jit, (mmd.linear_kernel, mmd.gaussian_kernel, mmd.gaussian_precision)
)
polynomial_kernel = jax.jit(mmd.polynomial_kernel, static_argnames="degree")
linear_time_mmd = jax.jit(mmd.linear_time_mmd, static_argnames="kernel")
maximum_mean_discrepancy = jax.jit(
    mmd.maximum_mean_discrepancy, static_argnames=("kernel", "unbiased")
)
GAUSSIAN = functools.partial(gaussian_kernel, precision=0.3)


def samples(seed, count=12, channels=4, mean=0.0):
    return np.random.default_rng(seed).normal(mean, size=(count, channels))


def squared(values):
    return np.sum(np.square(values))


def test_kernels_equal_scipys(float64):
    x, y = samples(0, 5), samples(1, 7)
    np.testing.assert_allclose(linear_kernel(x, y), x @ y.T, rtol=1e-12)
    np.testing.assert_allclose(
        polynomial_kernel(x, y, 0.5, degree=3), (x @ y.T + 0.5) ** 3, rtol=1e-12
    )
    np.testing.assert_allclose(
        gaussian_kernel(x, y, 0.3),
        np.exp(-0.3 * cdist(x, y, "sqeuclidean")),
        rtol=1e-12,
    )


def test_gaussian_kernel_in_float32_is_near_scipys_far_from_0():
    x, y = (np.float32(samples(seed, 200, 64, mean=1000.0)) for seed in (0, 1))
    expected = np.exp(-cdist(x, y, "sqeuclidean") / 128)
    found = gaussian_kernel(x, y, 1 / 128)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # Rounding takes no sample nearer to itself than 0.
    assert np.diagonal(gaussian_kernel(x, x, 1e-3)).max() <= 1


def test_squared_kernels_discrepancy_is_that_of_gram_matrices(float64):
    x, y = samples(0, 9), samples(1, 14)
    np.testing.assert_allclose(
        maximum_mean_discrepancy(x, y, polynomial_kernel),
        squared(x.T @ x / 9 - y.T @ y / 14),
        rtol=1e-11,
    )


def test_discrepancy_equals_loops_over_pairs(float64):
    x, y = samples(0, 5), samples(1, 7)

    def k(a, b):
        return np.exp(-0.3 * squared(a - b))

    def within(z, unbiased):
        pairs = [
            k(z[i], z[j])
            for i in range(len(z))
            for j in range(len(z))
            if i != j or not unbiased
        ]
        return np.mean(pairs)

    for unbiased in (False, True):
        expected = (
            within(x, unbiased)
            + within(y, unbiased)
            - 2 * np.mean([k(a, b) for a in x for b in y])
        )
        np.testing.assert_allclose(
            maximum_mean_discrepancy(x, y, GAUSSIAN, unbiased=unbiased),
            expected,
            rtol=1e-11,
        )


def test_linear_time_estimate_equals_a_loop_over_pairs(float64):
    x, y = samples(0, 12), samples(1, 12)

    def k(a, b):
        return np.exp(-0.3 * squared(a - b))

    terms = [
        k(x[i], x[i + 1]) + k(y[i], y[i + 1]) - k(x[i], y[i + 1]) - k(x[i + 1], y[i])
        for i in range(0, 12, 2)
    ]
    # A last odd sample is not used.
    longer = [np.concatenate([z, samples(2, 1)]) for z in (x, y)]
    for pair in ((x, y), longer):
        found = linear_time_mmd(*pair, GAUSSIAN)
        np.testing.assert_allclose(found, np.mean(terms), rtol=1e-11)


def test_unbiased_discrepancies_have_the_closed_form_expectation(float64):
    # x ~ N(0, 1), y ~ N(m, 1): E k(x, y) is a Gaussian in m of variance 2 + 1/(2p).
    m, p, repetitions = 0.8, 0.3, 4000
    variance = 2 + 1 / (2 * p)
    height = np.sqrt(1 / (2 * p) / variance)
    expected = 2 * height * (1 - np.exp(-(m**2) / (2 * variance)))
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (repetitions, 10, 1))
    y = random.normal(m, 1, (repetitions, 10, 1))
    for estimator in (
        functools.partial(maximum_mean_discrepancy, kernel=GAUSSIAN, unbiased=True),
        functools.partial(linear_time_mmd, kernel=GAUSSIAN),
    ):
        found = np.asarray(jax.jit(jax.vmap(estimator))(x, y))
        error = found.std() / np.sqrt(repetitions)
        assert error < 0.1 * expected
        assert abs(found.mean() - expected) < 5 * error


def test_gaussian_precision_is_over_the_pairs_of_the_linear_time_estimate(float64):
    x, y = samples(0, 8), samples(1, 8, mean=2.0)
    pairs = [
        pair
        for i in range(0, 8, 2)
        for pair in (
            (x[i], x[i + 1]),
            (y[i], y[i + 1]),
            (x[i], y[i + 1]),
            (x[i + 1], y[i]),
        )
    ]
    expected = 1 / np.mean([squared(a - b) for a, b in pairs])
    np.testing.assert_allclose(gaussian_precision(x, y), expected, rtol=1e-12)


def test_gaussian_precision_has_no_gradient():
    gradient = jax.jit(jax.grad(gaussian_precision))(samples(0), samples(1))
    np.testing.assert_array_equal(gradient, np.zeros((12, 4)))


def test_gradients_at_equal_samples_are_finite_and_0():
    x = jnp.asarray(samples(0), jnp.float32)

    def f(x, y):
        return maximum_mean_discrepancy(x, y, GAUSSIAN)

    gradient = jax.jit(jax.grad(f))(x, x)
    np.testing.assert_allclose(gradient, np.zeros((12, 4)), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y"), [(samples(0, 4), samples(1, 6)), (samples(0, 1), samples(1, 1))]
)
def test_samples_without_pairs_are_refused(x, y):
    with pytest.raises(InputError, match="samples have shapes"):
        gaussian_precision(x, y)
