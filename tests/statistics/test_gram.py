import jax
import numpy as np
import pytest

from nstjax.errors import InputError
from nstjax.statistics import gram
from nstjax.statistics.mmd import LinearMmd
from nstjax.statistics.moments import moments
from nstjax.statistics.sampling import draw_samples

# As one program each: an operation on its own would compile by itself.
moments = jax.jit(moments)


@jax.jit
def channel_means(F, T=None):
    return LinearMmd().describe(F, guide=T)


gram_matrix = jax.jit(gram.gram_matrix, static_argnames="normalization")
draw = jax.jit(draw_samples, static_argnums=3)


def activation(seed=0, shape=(5, 7, 4)):
    return np.random.default_rng(seed).normal(size=shape)


GUIDE = np.random.default_rng(9).uniform(size=(5, 7))
WHOLE_AND_GUIDED = pytest.mark.parametrize(
    "T", [None, GUIDE / np.sqrt(np.mean(GUIDE**2))], ids=["whole", "guided"]
)


def test_gram_matrix_accumulates_half_precision_in_float32():
    # 100 squared, 64 times over, is past the largest float16, 65504.
    F = np.full((8, 8, 2), 100, np.float16)
    G = gram_matrix(F)
    assert G.dtype == np.float32
    np.testing.assert_array_equal(G, np.full((2, 2), 640_000))


def test_gram_matrix_vmapped_equals_a_loop():
    batch = np.float32(activation(shape=(3, 5, 7, 4)))
    np.testing.assert_allclose(
        jax.jit(jax.vmap(gram_matrix))(batch),
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

    @jax.jit
    def derivatives(F, D):
        return (
            *jax.jvp(jax.grad(f), (F,), (D,)),
            jax.grad(lambda F: (jax.grad(f)(F) * D).sum())(F),
            jax.jvp(gram_matrix, (F,), (D,))[1],
        )

    gradient, change, backward, of_gram = derivatives(F, D)
    np.testing.assert_allclose(gradient, F @ (W + W.T), rtol=1e-12)
    np.testing.assert_allclose(change, D @ (W + W.T), rtol=1e-12)
    np.testing.assert_allclose(backward, change, rtol=1e-12)
    np.testing.assert_allclose(of_gram, D[0].T @ F[0] + F[0].T @ D[0], rtol=1e-12)


@WHOLE_AND_GUIDED
@pytest.mark.parametrize(
    ("normalization", "divisor"), [("none", 1), ("hw", 5 * 7), ("chw", 4 * 5 * 7)]
)
def test_gram_matrix_equals_numpys_sum(normalization, divisor, T, float64):
    F = activation()
    shares = np.ones((5, 7)) if T is None else T**2
    found = gram_matrix(F, normalization, guide=T)
    assert found.dtype == np.float64
    expected = np.einsum("hw,hwi,hwj->ij", shares, F, F) / divisor
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_guide_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"guide has shape \(7, 5\): .* \(5, 7\)"):
        gram_matrix(activation(), guide=np.ones((7, 5)))


@WHOLE_AND_GUIDED
def test_moments_equal_numpys_weighted_sums(T, float64):
    F = activation()
    shares = np.full((5, 7), 1 / 35) if T is None else T**2 / 35
    mean, deviation = moments(F, T)
    expected = np.einsum("hw,hwc->c", shares, F)
    variance = np.einsum("hw,hwc->c", shares, (F - expected) ** 2)
    np.testing.assert_allclose(mean, expected, rtol=1e-12)
    np.testing.assert_allclose(deviation, np.sqrt(variance + 1e-6), rtol=1e-12)
    np.testing.assert_array_equal(channel_means(F, T), mean)


def test_moments_of_a_large_image_keep_float32s_digits():
    # Summed one position after the other they would be 1e-5 off.
    F = np.float32(1000 + 100 * activation(shape=(300, 400, 3)))
    mean, deviation = jax.jit(moments)(F)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(mean, F.mean((0, 1), np.float64), rtol=1e-6)
    np.testing.assert_allclose(deviation, F.std((0, 1), np.float64), rtol=1e-5)


def test_moments_accumulate_half_precision_in_float32():
    # 2048 + 1 is 2048 in float16.
    F = np.ones((64, 64, 2), np.float16)
    F[:, ::2] = 3
    mean, deviation = moments(F)
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_array_equal(mean, [2, 2])
    np.testing.assert_allclose(deviation, [1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "weight"), [(1, None), (200_000, None), (200_000, 0.1)]
)
def test_as_many_samples_as_rows_of_equal_weight_are_the_rows(rows, weight):
    values = np.arange(rows)[:, None]
    weights = None if weight is None else np.full(rows, weight, np.float32)
    drawn = draw(jax.random.key(3), values, weights, rows)
    np.testing.assert_array_equal(drawn, values)


@pytest.mark.parametrize("weights", [None, np.array([3.0, 1.0, 0.0, 2.5, 0.01, 4.0])])
def test_samples_are_stratified_draws_in_proportion_to_the_weights(weights):
    draw_each = jax.jit(
        jax.vmap(lambda key: draw_samples(key, np.arange(6), weights, 4))
    )
    drawn = np.asarray(draw_each(jax.random.split(jax.random.key(0), 20_000)))
    shares = np.full(6, 1 / 6) if weights is None else weights / weights.sum()
    counts = (drawn[:, :, None] == np.arange(6)).sum(1)
    assert np.abs(counts - 4 * shares).max() < 2
    assert (np.diff(drawn) >= 0).all()
    # Five standard deviations of 80 000 independent draws; stratified ones vary less.
    assert np.abs(counts.mean(0) / 4 - shares).max() < 5 * np.sqrt(0.25 / 80_000)
    assert not counts[:, shares == 0].any()


def test_rows_of_weight_0_are_never_drawn():
    weights = np.zeros(5000, np.float32)
    weights[[0, 70, 71, 4000]] = [1e-3, 1, 2, 5]
    weights[-1] = 1e-3
    values = np.arange(5000)[:, None]
    drawn = draw(jax.random.key(0), values, weights, 8192)
    np.testing.assert_array_equal(np.unique(drawn), [0, 70, 71, 4000, 4999])


def test_last_row_is_drawn_in_proportion_to_its_weight():
    # 11000 of 2³⁰, in the last of 30 000 samples of 35 791 each.
    weights = np.array([2**30 - 11_000, 11_000], np.float32)
    draw_last = jax.jit(
        jax.vmap(lambda key: draw_samples(key, np.arange(2), weights, 30_000)[-1])
    )
    drawn = np.asarray(draw_last(jax.random.split(jax.random.key(0), 100)))
    # Four standard deviations of independent draws.
    assert abs(np.mean(drawn) - 11_000 / 35_791) < 0.19
