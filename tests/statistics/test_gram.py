import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

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


def guide(seed=9, shape=(5, 7)):
    T = np.random.default_rng(seed).uniform(size=shape)
    return T / np.sqrt(np.mean(T**2))


def numerical_gradient(f, x, step=1e-6):
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        change = np.zeros_like(x)
        change[index] = step
        gradient[index] = (f(x + change) - f(x - change)) / (2 * step)
    return gradient


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


@pytest.mark.parametrize("normalization", ["none", "hw", "chw"])
def test_guided_gram_matrix_is_that_of_the_guided_activation(normalization, float64):
    F, T = activation(), guide()
    divisor = {"none": 1, "hw": 35, "chw": 140}[normalization]
    np.testing.assert_allclose(
        gram_matrix(F, normalization, guide=T),
        np.einsum("hw,hwi,hwj->ij", T**2, F, F) / divisor,
        rtol=1e-12,
    )


def test_guide_of_a_region_makes_statistics_those_of_the_region(float64):
    # Twice as large an image, of which the guide sees the half that is F.
    F = activation()
    beside = np.concatenate([F, 100 * activation(1)])
    T = np.concatenate([np.full((5, 7), 2**0.5), np.zeros((5, 7))])
    np.testing.assert_allclose(
        gram_matrix(beside, "hw", guide=T), gram_matrix(F, "hw"), rtol=1e-12
    )
    np.testing.assert_allclose(channel_means(beside, T), channel_means(F), rtol=1e-12)
    for found, expected in zip(moments(beside, T), moments(F), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "statistic", [channel_means, moments, lambda F, T: gram_matrix(F, guide=T)]
)
def test_guide_of_another_size_is_refused(statistic):
    with pytest.raises(InputError, match=r"guide has shape \(7, 5\): .* \(5, 7\)"):
        statistic(activation(), np.ones((7, 5)))


def test_moments_equal_numpys(float64):
    F = activation()
    mean, deviation = moments(F)
    np.testing.assert_allclose(mean, F.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(deviation, np.sqrt(F.var((0, 1)) + 1e-6), rtol=1e-12)
    np.testing.assert_array_equal(channel_means(F), mean)


def test_guided_moments_equal_numpys_weighted_sums(float64):
    F, T = activation(), guide()
    mean, deviation = moments(F, T)
    expected = np.einsum("hw,hwc->c", T**2, F) / 35
    variance = np.einsum("hw,hwc->c", T**2, (F - expected) ** 2) / 35
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


@pytest.mark.parametrize("T", [None, guide()], ids=["whole", "guided"])
@pytest.mark.parametrize(
    "statistic",
    [
        channel_means,
        lambda F, T: jnp.concatenate(moments(F, T)),
        lambda F, T: gram_matrix(F, "hw", guide=T),
    ],
    ids=["means", "moments", "gram"],
)
def test_gradient_equals_finite_differences(statistic, T, float64):
    def f(F):
        return jnp.sin(statistic(F, T)).sum()

    F = activation()
    both = jax.jit(jax.value_and_grad(f))
    np.testing.assert_allclose(
        both(F)[1], numerical_gradient(lambda F: both(F)[0], F), atol=1e-8
    )


def test_moments_of_a_constant_channel_have_a_finite_gradient():
    F = np.float32(activation())
    F[:, :, 1] = 7
    gradient = jax.jit(jax.grad(lambda F: moments(F).deviation.sum()))(F)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:, :, 1], np.zeros((5, 7)))


@pytest.mark.parametrize(
    ("rows", "weight"), [(1, None), (200_000, None), (200_000, 0.1)]
)
def test_as_many_samples_as_rows_of_equal_weight_are_the_rows(rows, weight):
    values = np.arange(rows)[:, None]
    weights = None if weight is None else np.full(rows, weight, np.float32)
    drawn = draw(jax.random.key(3), values, weights, rows)
    np.testing.assert_array_equal(drawn, values)


def test_samples_are_stratified():
    count = 40
    # Of a row with share p of the weight, count·p samples, give or take its two ends.
    weights = np.random.default_rng(0).uniform(size=23)
    expected = count * weights / weights.sum()
    draw_each = jax.jit(
        jax.vmap(lambda key: draw_samples(key, np.arange(23), weights, count))
    )
    for drawn in np.asarray(draw_each(jax.random.split(jax.random.key(0), 20))):
        found = np.bincount(drawn, minlength=23)
        assert np.abs(found - expected).max() < 2
        assert (np.diff(drawn) >= 0).all()


@pytest.mark.parametrize("weights", [None, np.array([3.0, 1.0, 0.0, 2.5, 0.01, 4.0])])
def test_samples_are_drawn_in_proportion_to_the_weights(weights):
    draw_each = jax.jit(
        jax.vmap(lambda key: draw_samples(key, np.arange(6), weights, 4))
    )
    drawn = np.ravel(draw_each(jax.random.split(jax.random.key(0), 20_000)))
    shares = np.full(6, 1 / 6) if weights is None else weights / weights.sum()
    found = np.bincount(drawn, minlength=6) / drawn.size
    # Five standard deviations of 80 000 independent draws; stratified ones vary less.
    assert np.abs(found - shares).max() < 5 * np.sqrt(0.25 / 80_000)
    assert not found[shares == 0].any()


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


def test_draws_differ_from_key_to_key():
    values = np.arange(1000)[:, None]
    first, second = (draw(jax.random.key(seed), values, None, 64) for seed in (0, 1))
    assert (np.asarray(first) != np.asarray(second)).any()


def test_drawn_samples_pass_their_gradient_to_their_rows():
    values = np.float32(activation(shape=(9, 2)))
    weights = np.array([1, 0, 1, 5, 1, 0, 1, 1, 1])

    def f(values):
        return draw(jax.random.key(0), values, weights, 22).sum()

    # 11 shares of weight, 22 samples: two of each share.
    np.testing.assert_array_equal(
        jax.jit(jax.grad(f))(values), np.stack([2.0 * weights] * 2, axis=1)
    )
