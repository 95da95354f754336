import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.losses.content import content_loss
from nstjax.losses.gradient_normalization import normalize_gradient
from nstjax.losses.terms import Region, Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.losses.total_variation import total_variation
from nstjax.network.vgg import features
from nstjax.statistics.gram import gram_matrix, style_loss


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


@pytest.mark.parametrize("strength", [1e-5, 1.0, 1e3])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e9])
def test_gradient_is_as_large_as_the_strength_in_norm_1(strength, scale, float64):
    F = activation(np.float64)
    gradient = slope(F, strength, scale)
    norm = np.abs(2 * scale * F).sum()
    expected = strength * 2 * scale * F / (norm + 1e-8)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    np.testing.assert_allclose(np.abs(gradient).sum(), strength, rtol=1e-6)


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
    layers = ("relu1_1", "relu2_1")

    @jax.jit
    def targets_of(content, style, other_style):
        other = style_statistics(params, other_style, ("relu2_1",))
        return Targets(
            features(params, content, ("relu2_1",)),
            style_statistics(params, style, layers),
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

    (plain, _), (loss, gradient) = (
        jax.jit(jax.value_and_grad(loss_fn), static_argnums=1)(image, normalized)
        for normalized in (False, True)
    )
    assert loss == plain

    def style_term(target, guide=None):
        return lambda F: style_loss(gram_matrix(F, "hw", guide=guide), target, 1)

    def content_term(F):
        return content_loss(F, targets.content["relu2_1"])

    whole, part = targets.style, targets.regions[0].style
    pieces = {
        "relu1_1": [(50 * 0.4, style_term(whole["relu1_1"]))],
        "relu2_1": [
            (2 * 0.7, content_term),
            (50 * 0.6, style_term(whole["relu2_1"])),
            (0.3 * 50 * 0.6, style_term(part["relu2_1"], T)),
        ],
    }

    @jax.jit
    def expected(image):
        activations, pull_back = jax.vjp(
            lambda image: features(params, image, layers), image
        )
        slopes = {}
        for layer, terms in pieces.items():
            slopes[layer] = jnp.zeros_like(activations[layer])
            for strength, term in terms:
                slope = jax.grad(term)(activations[layer])
                slopes[layer] += strength * slope / jnp.abs(slope).sum()
        # The total variation reads no layer.
        return pull_back(slopes)[0] + 0.5 * jax.grad(total_variation)(image)

    np.testing.assert_allclose(
        gradient, expected(image), rtol=1e-7, atol=1e-9 * np.abs(gradient).max()
    )
