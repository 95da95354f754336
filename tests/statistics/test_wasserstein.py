import functools

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.stats
from jax.test_util import check_grads

from nstjax.errors import InputError
from nstjax.statistics import sliced, wasserstein
from nstjax.statistics.wasserstein import trace_of_square_root

# As one program each: an operation on its own would compile by itself.
gaussian_wasserstein2 = jax.jit(
    wasserstein.gaussian_wasserstein2, static_argnames="iterations"
)
matrix_square_root = jax.jit(
    wasserstein.matrix_square_root, static_argnames="iterations"
)
random_directions = jax.jit(sliced.random_directions, static_argnums=(1, 2))
symmetric_root = jax.jit(wasserstein.symmetric_root)
sliced_wasserstein = jax.jit(sliced.sliced_wasserstein)


@functools.partial(jax.jit, static_argnames="regularization")
def mean_and_covariance(F, T=None, regularization=0.0):
    statistic = wasserstein.Wasserstein2()
    statistic.regularization = regularization
    return statistic.describe(F, guide=T)


def covariance(seed, eigenvalues):
    """A matrix of those eigenvalues and random eigenvectors."""
    rotation = scipy.stats.ortho_group.rvs(len(eigenvalues), random_state=seed)
    return (rotation * eigenvalues) @ rotation.T


def scipys_distance(mean, C, target_mean, C_t):
    root = scipy.linalg.sqrtm(C_t).real
    between = scipy.linalg.sqrtm(root @ C @ root).real
    return np.sum((mean - target_mean) ** 2) + np.trace(C + C_t - 2 * between)


@pytest.mark.parametrize("guided", [False, True])
def test_mean_and_covariance_equal_numpys(guided, float64):
    random = np.random.default_rng(0)
    F, T = random.normal(3, 1, (5, 7, 4)), random.uniform(size=(5, 7))
    T = T / np.sqrt(np.mean(T**2)) if guided else np.ones((5, 7))
    mean, C = mean_and_covariance(F, T if guided else None, regularization=6.5)
    rows, shares = F.reshape(35, 4), T.ravel() ** 2
    np.testing.assert_allclose(mean, np.average(rows, 0, shares), rtol=1e-12)
    expected = np.cov(rows, rowvar=False, ddof=0, aweights=shares)
    np.testing.assert_allclose(C, expected + 6.5 * np.eye(4), rtol=1e-11)


def test_covariance_in_float32_keeps_its_digits_far_from_0():
    F = np.random.default_rng(0).normal(1e4, 1, (50, 60, 3)).astype(np.float32)
    C = mean_and_covariance(F)[1]
    assert C.dtype == np.float32
    expected = np.cov(np.float64(F.reshape(-1, 3)), rowvar=False, bias=True)
    np.testing.assert_allclose(C, expected, atol=1e-4)


@pytest.mark.parametrize(
    "root", [symmetric_root, lambda matrix: matrix_square_root(matrix)[0]]
)
def test_roots_equal_scipys(root, float64):
    A = covariance(0, [0.5, 1.0, 3.0, 10.0, 20.0])
    np.testing.assert_allclose(root(A), scipy.linalg.sqrtm(A), atol=1e-9)


def test_root_of_a_singular_matrix_is_real():
    # Of eigenvalues that are 0, rounding makes some that are below.
    A = np.float32(covariance(0, [1e4, 1.0] + 20 * [0.0]))
    assert np.linalg.eigvalsh(A).min() < 0
    root = np.asarray(symmetric_root(A))
    assert root.dtype == np.float32
    np.testing.assert_allclose(root @ root, A, atol=1e-2)


@pytest.mark.parametrize(("iterations", "resolved"), [(12, 1e-3), (20, 2e-6)])
def test_iterations_resolve_the_eigenvalues_that_they_promise(
    iterations, resolved, float64
):
    # Some ten times the documented bound is resolved, a hundredth of it is not.
    A = np.diag([1.0, resolved, resolved / 1000])
    found = np.diagonal(matrix_square_root(A, iterations=iterations)[0])
    np.testing.assert_allclose(found[:2], [1, resolved**0.5], rtol=0.01)
    assert found[2] < 0.5 * (resolved / 1000) ** 0.5


def test_gradient_of_the_roots_trace_is_half_the_inverse_root(float64):
    A = covariance(0, [0.5, 1.0, 3.0, 10.0])
    gradient = jax.jit(jax.grad(trace_of_square_root))(A)
    inverse = scipy.linalg.inv(scipy.linalg.sqrtm(A))
    np.testing.assert_allclose(gradient, inverse / 2, atol=1e-8)
    np.testing.assert_allclose(matrix_square_root(A)[1], inverse, atol=1e-8)
    # Hessian-vector products, by the gradient's own gradient.
    V = covariance(1, [1.0, 2.0, 3.0, 4.0])
    check_grads(
        jax.jit(lambda A: (V * jax.grad(trace_of_square_root)(A)).sum()),
        *((A,), 1, "rev"),
        **{"rtol": 1e-5, "atol": 1e-7, "eps": 1e-5},
    )


def test_distance_of_gaussians_equals_scipys(float64):
    C, C_t = covariance(0, [0.5, 1.0, 3.0, 10.0]), covariance(1, [1.0, 2.0, 2.5, 7.0])
    mean, target_mean = np.random.default_rng(0).normal(size=(2, 4))
    np.testing.assert_allclose(
        gaussian_wasserstein2(mean, C, target_mean, symmetric_root(C_t)),
        scipys_distance(mean, C, target_mean, C_t),
        rtol=1e-7,
    )


def test_distance_of_ill_conditioned_gaussians_in_float32_is_near_scipys():
    eigenvalues = np.concatenate([np.logspace(6, -2, 48), np.zeros(16)])
    C, C_t = (covariance(seed, eigenvalues) + 6.5 * np.eye(64) for seed in (0, 1))
    zero = np.zeros(64, np.float32)

    def f(C, iterations):
        root = symmetric_root(np.float32(C_t))
        return gaussian_wasserstein2(zero, C, zero, root, iterations=iterations)

    expected = scipys_distance(zero, C, zero, C_t)
    distance, gradient = jax.jit(jax.value_and_grad(f), static_argnums=1)(
        np.float32(C), 20
    )
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, expected, rtol=1e-3)
    # Published: the roots of small eigenvalues are too small, the distance too large.
    assert expected < f(np.float32(C), 12) < 1.1 * expected
    # I - gradient is the linear map that takes one Gaussian to the other.
    root = scipy.linalg.sqrtm(C_t).real
    moved = root @ scipy.linalg.inv(scipy.linalg.sqrtm(root @ C @ root).real) @ root
    np.testing.assert_allclose(moved @ C @ moved, C_t, atol=1e-3)
    weight = scipy.linalg.sqrtm(C).real
    error = np.linalg.norm(weight @ (np.eye(64) - gradient - moved))
    assert error < 0.02 * np.linalg.norm(weight @ (np.eye(64) - moved))


def test_random_directions_are_unit_vectors_of_every_direction():
    directions = np.asarray(random_directions(jax.random.key(0), 20_000, 3))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(directions.mean(0), np.zeros(3), atol=0.02)
    # Archimedes: each coordinate of the sphere is uniform in -1..1.
    for coordinate in directions.T:
        uniform = scipy.stats.uniform(-1, 2)
        assert scipy.stats.kstest(coordinate, uniform.cdf).pvalue > 1e-3


def test_sliced_distance_is_that_of_the_best_assignments(float64):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 20, 3))
    directions = np.asarray(random_directions(jax.random.key(0), 7, 3))
    costs = []
    for d in directions:
        cost = ((x @ d)[:, None] - (y @ d)[None, :]) ** 2
        costs.append(cost[scipy.optimize.linear_sum_assignment(cost)].mean())
    np.testing.assert_allclose(
        sliced_wasserstein(x, y, directions), np.mean(costs), rtol=1e-12
    )


def test_equal_samples_are_moved_to_different_targets(float64):
    # Four samples at 0, targets at 1..4: each is drawn to its own.
    x, y = np.zeros((4, 1)), np.arange(1.0, 5)[:, None]
    gradient = jax.jit(jax.grad(sliced_wasserstein))(x, y, np.ones((1, 1)))
    np.testing.assert_allclose(np.sort(-2 * gradient.ravel()), [1, 2, 3, 4])


def test_samples_of_different_numbers_are_refused():
    with pytest.raises(InputError, match=r"shapes \(4, 2\) and \(5, 2\)"):
        sliced_wasserstein(np.ones((4, 2)), np.ones((5, 2)), np.eye(2))
