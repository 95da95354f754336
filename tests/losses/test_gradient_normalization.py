import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.losses.gradient_normalization import normalize_gradient
from nstjax.losses.terms import Region, Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.vgg import features


def activation(dtype=np.float32):
    return dtype(np.random.default_rng(0).normal(size=(4, 5, 3)))


def bowl(activation, strength, scale):
    """A weighted loss as the total one has it: its weight is in its gradient."""
    return strength * scale * jnp.sum(normalize_gradient(activation, strength) ** 2)


# As one program: each of its operations would compile by itself.
slope = jax.jit(jax.grad(bowl))


def test_value_is_the_activation():
    F = activation()
    np.testing.assert_array_equal(normalize_gradient(F, np.float32(3)), F)
    assert normalize_gradient(F, np.float32(3)).dtype == np.float32


@pytest.mark.parametrize("strength", [1e-5, 1.0, 1e3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e9])
def test_gradient_is_as_large_as_the_strength_in_norm_1(strength, scale, float64):
    F = activation(np.float64)
    gradient = slope(F, strength, scale)
    norm = np.abs(2 * scale * F).sum()
    expected = strength * 2 * scale * F / (norm + 1e-8)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    np.testing.assert_allclose(np.abs(gradient).sum(), strength, rtol=1e-6)


@pytest.mark.parametrize("strength", [1e-5, 1.0, 1e3])
def test_gradient_is_normalized_in_float32(strength):
    gradient = slope(activation(), np.float32(strength), np.float32(1e6))
    np.testing.assert_allclose(np.abs(gradient).sum(), strength, rtol=1e-5)


@pytest.mark.parametrize(("strength", "size"), [(0.0, 1.0), (0.0, 0.0), (2.0, 0.0)])
def test_nothing_stays_nothing(strength, size):
    # Neither a weight of 0 nor a loss that is at its minimum makes NaN.
    F = size * activation()
    gradients = jax.jit(jax.grad(bowl, (0, 1)))(F, np.float32(strength), np.float32(1))
    np.testing.assert_array_equal(gradients[0], 0)
    assert np.isfinite(gradients[1])


def test_vmapped_over_strengths_equals_a_loop():
    F, strengths = activation(), np.float32([0, 0.5, 7])
    found = jax.jit(jax.vmap(slope, (None, 0, None)))(F, strengths, np.float32(3))
    for gradient, strength in zip(found, strengths, strict=True):
        np.testing.assert_allclose(
            gradient, slope(F, strength, np.float32(3)), rtol=1e-5, atol=1e-9
        )


def test_total_loss_sends_every_losss_gradient_back_at_its_weight(float64):
    # relu2_1 serves the content, the whole image's style and a region: three pieces.
    params = reference.random_params(blocks=2)
    image, content, style, other_style = (
        reference.random_image(seed, 8, 10) for seed in (1, 2, 3, 4)
    )
    T = reference.half_guide(4, 5)
    style_layers = ("relu1_1", "relu2_1")

    @jax.jit
    def targets_of(content, style, other_style):
        other = style_statistics(params, other_style, ("relu2_1",))
        return Targets(
            features(params, content, ("relu2_1",)),
            style_statistics(params, style, style_layers),
            (Region({"relu2_1": T}, other, np.float64(0.3)),),
        )

    targets = targets_of(content, style, other_style)
    weights = Weights(
        *np.float64([2.0, 50.0, 0.5]),
        {"relu2_1": np.float64(0.7)},
        {"relu1_1": np.float64(0.4), "relu2_1": np.float64(0.6)},
    )

    def loss_fn(image, normalize_gradients):
        return total_loss(
            params, image, targets, weights, normalize_gradients=normalize_gradients
        )[0]

    (plain, plain_gradient), (loss, gradient) = (
        jax.jit(jax.value_and_grad(loss_fn), static_argnums=1)(
            image, normalize_gradients
        )
        for normalize_gradients in (False, True)
    )
    assert loss == plain
    assert np.abs(gradient - plain_gradient).max() > 0.1 * np.abs(gradient).max()

    # The gradient at a layer in closed form, but for a factor.
    def of_gram(F, A, T):
        G = np.einsum("hw,hwi,hwj->ij", T**2, F, F) / T.size
        return T[:, :, None] ** 2 * (F @ (G - A))

    @jax.jit
    def activations_and_pulled_back(image, slopes):
        F, pull_back = jax.vjp(
            lambda image: features(params, image, style_layers), image
        )
        return F, pull_back(slopes)[0]

    nothing = {"relu1_1": np.zeros((8, 10, 4)), "relu2_1": np.zeros((4, 5, 5))}
    F = jax.tree.map(np.asarray, activations_and_pulled_back(image, nothing)[0])
    style = jax.tree.map(np.asarray, targets.style)
    pieces = {
        "relu1_1": [
            (
                50 * 0.4,
                of_gram(F["relu1_1"], style["relu1_1"], np.ones((8, 10))),
            )
        ],
        "relu2_1": [
            (2 * 0.7, F["relu2_1"] - np.asarray(targets.content["relu2_1"])),
            (
                50 * 0.6,
                of_gram(F["relu2_1"], style["relu2_1"], np.ones((4, 5))),
            ),
            (
                0.3 * 50 * 0.6,
                of_gram(
                    F["relu2_1"], np.asarray(targets.regions[0].style["relu2_1"]), T
                ),
            ),
        ],
    }
    _, expected = activations_and_pulled_back(
        image,
        {
            layer: sum(
                strength * piece / np.abs(piece).sum() for strength, piece in those
            )
            for layer, those in pieces.items()
        },
    )
    # The total variation reads no layer.
    dx, dy = np.diff(image, axis=1)[:-1], np.diff(image, axis=0)[:, :-1]
    tv = np.zeros_like(image)
    tv[:-1, 1:] += dx
    tv[:-1, :-1] -= dx
    tv[1:, :-1] += dy
    tv[:-1, :-1] -= dy
    np.testing.assert_allclose(
        gradient, expected + 0.5 * tv, rtol=1e-7, atol=1e-9 * np.abs(gradient).max()
    )
