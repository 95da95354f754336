import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.analysis.convexity.curvature import (
    extreme_eigenvalues,
    hessian_vector_product,
    negative,
)
from nstjax.errors import InputError

SHAPE = (4, 5, 3)


def symmetric(shift=0):
    A = np.random.default_rng(0).normal(size=(60, 60))
    return A + A.T + shift * np.eye(60)


def quadratic_form(A):
    """½ xᵀAx, as a function with array arguments of its own."""

    def loss(A, x):
        return 0.5 * x.ravel() @ (A @ x.ravel())

    return jax.tree_util.Partial(loss, jnp.asarray(A))


def image(seed=0):
    return np.random.default_rng(seed).normal(size=SHAPE)


def ends_of(found):
    """Value, residual and vector of both ends."""
    return (
        (found.smallest, found.smallest_residual, found.smallest_vector),
        (found.largest, found.largest_residual, found.largest_vector),
    )


def test_the_product_equals_the_hessian_times_the_vector(float64):
    def loss(x):
        return jnp.sum(jnp.sin(x[..., 0] * x[..., 1]) * x[..., 2] ** 2)

    x, v = image(0), image(1)
    H = jax.jit(jax.hessian(loss))(x).reshape(60, 60)
    found = hessian_vector_product(loss, x)(v)
    assert found.shape == SHAPE
    np.testing.assert_allclose(found.ravel(), H @ v.ravel(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shift", [0, 30, -30])
def test_the_eigenvalues_of_a_quadratic_form_equal_numpys(shift, float64):
    A = symmetric(shift)
    found = extreme_eigenvalues(quadratic_form(A), image(), tolerance=1e-12)
    values, vectors = np.linalg.eigh(A)
    for index, (value, residual, vector) in zip((0, -1), ends_of(found), strict=True):
        np.testing.assert_allclose(value, values[index], rtol=1e-10)
        assert vector.shape == SHAPE
        assert vector.dtype == np.float64
        cosine = vector.ravel() @ vectors[:, index]
        np.testing.assert_allclose(abs(cosine), 1, rtol=1e-9)
        assert residual < 1e-9
    assert negative(found) == (values[0] < 0)
    # A negative value counts beyond its residual alone.
    assert not negative(found._replace(smallest_residual=1.001 * abs(values[0])))


def test_without_convergence_the_residual_tells(float64):
    # Hundreds of eigenvalues near both ends, and a tolerance that is out of reach.
    diagonal = jnp.asarray(np.sin(np.linspace(-np.pi / 2, np.pi / 2, 600)))
    found = extreme_eigenvalues(
        lambda x: 0.5 * jnp.sum(diagonal * x**2),
        np.zeros(600),
        max_iterations=1,
        tolerance=0,
    )
    assert -1 <= found.smallest < -0.95
    assert 0.95 < found.largest <= 1
    for value, residual, vector in ends_of(found):
        assert 1e-6 < residual < 0.1
        expected = np.linalg.norm(diagonal * vector - value * vector)
        np.testing.assert_allclose(residual, expected, rtol=1e-8)
        np.testing.assert_allclose(np.linalg.norm(vector), 1)


def test_a_run_stops_at_its_tolerance(float64):
    diagonal = jnp.asarray(np.concatenate([np.zeros(300), np.linspace(-1, 3, 300)]))
    loss = jax.tree_util.Partial(lambda d, x: 0.5 * jnp.sum(d * x**2), diagonal)
    previous = 0
    for tolerance in (1e-2, 1e-4, 1e-6):
        found = extreme_eigenvalues(
            loss, np.zeros(600), max_iterations=100, tolerance=tolerance
        )
        assert found.largest_residual < 3 * tolerance
        assert found.smallest_residual < 4 * tolerance
        assert found.products > previous
        previous = found.products


@pytest.mark.parametrize("curvature", [0, 2, -2])
def test_a_multiple_of_the_identity(curvature, float64):
    found = extreme_eigenvalues(
        lambda x: 0.5 * curvature * jnp.sum(x**2) + jnp.sum(x), image()
    )
    rounding = np.finfo(np.float64).eps * abs(curvature)
    for value, residual, _ in ends_of(found):
        np.testing.assert_allclose(value, curvature, atol=1e-14)
        assert 0.999 * rounding <= residual < 1e-14
    assert negative(found) == (curvature < 0)


def test_a_loss_is_compiled_once_for_all_images():
    traces, products = [], []

    def loss(target, x):
        traces.append(x.dtype)
        jax.debug.callback(lambda: products.append(1))
        return jnp.sum((x**2 - target) ** 2)

    counts = [
        extreme_eigenvalues(jax.tree_util.Partial(loss, target), np.float32(x)).products
        for x, target in ((image(0), 1.0), (image(1), 2.0))
    ]
    jax.effects_barrier()
    assert traces == [np.float32]
    assert len(products) == sum(counts) > 10


def test_matrix_products_are_of_the_highest_precision():
    ones = np.ones((3, 3), np.float32)
    product = hessian_vector_product(lambda x: jnp.sum((x @ x) ** 2), ones)
    text = str(jax.make_jaxpr(product)(ones))
    assert text.count("dot_general") > 2
    assert text.count("dot_general") == text.count("precision=(Precision.HIGHEST")


def test_a_hessian_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="no finite Hessian"):
        extreme_eigenvalues(lambda x: jnp.sqrt(jnp.sum(x**2)), np.zeros(SHAPE))
