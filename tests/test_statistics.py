import jax
import numpy as np
import pytest
import reference

from nstjax.statistics import gram_matrix


def activation(seed=0, shape=(5, 7, 4)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
    ("normalization", "divisor"), [("none", 1), ("hw", 5 * 7), ("chw", 4 * 5 * 7)]
)
def test_gram_matrix_equals_numpys_sum_over_positions(normalization, divisor, float64):
    F = activation()
    found = gram_matrix(F, normalization)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, reference.gram(F) / divisor, rtol=1e-12)


def test_gram_matrix_is_symmetric_and_positive_semidefinite(float64):
    # More channels than positions: the matrix is singular, its smallest values are 0.
    G = np.asarray(gram_matrix(activation(shape=(2, 3, 9))))
    np.testing.assert_allclose(G, G.T, rtol=1e-14, atol=1e-15)
    eigenvalues = np.linalg.eigvalsh(G)
    assert eigenvalues.min() > -1e-12 * eigenvalues.max()
    assert eigenvalues.max() > 1


def test_gram_matrix_ignores_where_things_are(float64):
    F = activation()
    order = np.random.default_rng(1).permutation(35)
    shuffled = F.reshape(35, 4)[order].reshape(7, 5, 4)
    assert not np.allclose(F.ravel(), shuffled.ravel())
    np.testing.assert_allclose(gram_matrix(F), gram_matrix(shuffled), rtol=1e-12)


def test_gram_matrix_tells_activations_of_other_channels_apart(float64):
    F = activation()
    assert not np.allclose(gram_matrix(F), gram_matrix(F[:, :, ::-1]))


@pytest.mark.parametrize("normalization", ["hw", "chw"])
def test_gram_matrix_normalized_does_not_depend_on_the_size(normalization, float64):
    F = activation()
    twice = np.concatenate([F, F])
    np.testing.assert_allclose(
        gram_matrix(F, normalization), gram_matrix(twice, normalization), rtol=1e-12
    )


def test_gram_matrix_accumulates_half_precision_in_float32():
    # 100 squared, 64 times over, is past the largest float16, 65504.
    F = np.full((8, 8, 2), 100, np.float16)
    G = gram_matrix(F)
    assert G.dtype == np.float32
    np.testing.assert_array_equal(G, np.full((2, 2), 640_000))


def test_gram_matrix_in_float32_is_near_float64():
    F = 100 * activation(shape=(33, 41, 6))
    found = gram_matrix(np.float32(F), "hw")
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, reference.gram(F) / (33 * 41), rtol=1e-5, atol=1e-5 * 1e4
    )


def test_gram_matrix_vmapped_equals_a_loop():
    batch = np.float32(activation(shape=(3, 5, 7, 4)))
    np.testing.assert_allclose(
        jax.vmap(gram_matrix)(batch),
        np.stack([gram_matrix(F) for F in batch]),
        rtol=1e-5,
        atol=1e-4,
    )


def test_gram_matrix_has_its_closed_form_derivatives(float64):
    # f = Σ_ij W_ij G_ij with G = FᵀF: ∇f = F (W + Wᵀ), and its change along D is
    # D (W + Wᵀ).
    F, D = activation(0, (1, 6, 4)), activation(1, (1, 6, 4))
    W = np.random.default_rng(2).normal(size=(4, 4))

    def f(F):
        return (W * gram_matrix(F)).sum()

    gradient, change = jax.jvp(jax.grad(f), (F,), (D,))
    np.testing.assert_allclose(gradient, F @ (W + W.T), rtol=1e-12)
    np.testing.assert_allclose(change, D @ (W + W.T), rtol=1e-12)
    np.testing.assert_allclose(
        jax.grad(lambda F: (jax.grad(f)(F) * D).sum())(F), change, rtol=1e-12
    )
    np.testing.assert_allclose(
        jax.jvp(gram_matrix, (F,), (D,))[1], D[0].T @ F[0] + F[0].T @ D[0], rtol=1e-12
    )
