"""The discriminator, and training against it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import reference
from feedforward_networks import random_network
from feedforward_trainings import (
    LOSS,
    PARAMS,
    assert_equal,
    changed,
    leaves,
    make_batch,
    make_objective,
    narrow,
)
from flax import nnx

from nstjax.feedforward.training.adversary import (
    PatchDiscriminator,
    discriminator_loss,
    generator_loss,
    make_adversary,
)
from nstjax.feedforward.training.objective import batch_features, make_loss
from nstjax.feedforward.training.update import make_training

LAYER = "relu2_1"


def make_paintings(count=4):
    """Coarse blocks, far from what a network makes of noise."""
    coarse = np.random.default_rng(1).random((count, 4, 4, 3), np.float32)
    return jnp.asarray(coarse.repeat(4, 1).repeat(4, 2))


def batch_of(seed=0):
    return make_batch(seed, styles=2, painting=make_paintings())


@functools.cache
def adversarial():
    """Training against a discriminator, compiled once."""
    network = random_network(narrow("conditional"))
    made = []

    @jax.jit
    def make():
        discrimination, adversary = make_adversary(
            PARAMS, LOSS, LAYER, make_paintings(), 2, 0.01, seed=3
        )
        made.append(discrimination)
        return adversary

    adversary = make()
    (discrimination,) = made
    training = make_training(
        network, make_loss(LOSS), optax.adam(0.01), discriminator=discrimination
    )

    @jax.jit
    def begin():
        # A step takes the state's memory, the discriminator's too.
        return training.init(network, adversary)

    return training, begin, make_objective(2), discrimination


@functools.cache
def compiled_scores():
    return jax.jit(adversarial()[-1].scores)


def test_hinge_losses_are_those_of_the_paper():
    paintings = jnp.array([[2.0, 1.0], [0.25, -3.0]])
    restyled = jnp.array([[-2.0, -1.0], [-0.5, 4.0]])
    # max(0, 1 - D): 0, 0, 0.75, 4; max(0, 1 + D): 0, 0, 0.5, 5.
    assert discriminator_loss(paintings, restyled) == (4.75 + 5.5) / 4
    assert generator_loss(restyled) == -0.5 / 4


def test_scores_are_three_convolutions_of_the_features():
    network = PatchDiscriminator(5, 3, width=4, rngs=nnx.Rngs(0))
    random = np.random.default_rng(2)
    features = random.normal(size=(2, 6, 7, 5))
    styles = [2, 0]
    found = jax.jit(network)(jnp.asarray(features, jnp.float32), jnp.array(styles))

    def convolved(activation, layer):
        return reference.convolve(
            activation, np.float64(layer.kernel[...]), np.float64(layer.bias[...])
        )

    def leaky(activation):
        return np.where(activation > 0, activation, 0.2 * activation)

    for picture, style in enumerate(styles):
        hidden = leaky(convolved(features[picture], network.first))
        hidden = leaky(convolved(hidden, network.second)[::2, ::2])
        last = network.last
        scores = hidden @ np.float64(last.kernel[0, 0]) + np.float64(last.bias[...])
        assert found[picture].shape == (3, 4)
        np.testing.assert_allclose(found[picture], scores[..., style], atol=1e-5)


def test_features_of_paintings_have_unit_size():
    scale = np.array(adversarial()[1]().adversary.scale)
    features = jax.jit(
        lambda paintings: batch_features(PARAMS, LOSS, paintings, [LAYER])
    )
    activations = np.array(features(make_paintings())[LAYER])
    alive = activations.any((0, 1, 2))
    squares = np.square(activations / scale).mean((0, 1, 2))[alive]
    assert alive.sum() > 2
    np.testing.assert_allclose(squares, 1, rtol=1e-3)


def test_a_discriminator_learns_what_the_network_then_follows():
    training, begin, objective, discrimination = adversarial()
    adversary, batch = begin().adversary, batch_of()
    update = jax.jit(discrimination.update)
    losses = []
    for _ in range(30):
        adversary, loss = update(adversary, PARAMS, batch, batch.content)
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]
    of_paintings, of_noise = (
        compiled_scores()(adversary, PARAMS, images, batch.style)
        for images in (batch.painting, batch.content)
    )
    assert of_paintings.mean() > 0.5
    assert of_noise.mean() < -0.5
    # Nothing but its gradient moves the network, which comes to look like a painting.
    nothing = jax.tree.map(jnp.zeros_like, objective.weights)
    objective = objective._replace(weights=nothing)
    fixed, state = jax.device_get(adversary), begin()
    before, scores = leaves(state.trained), []
    for weight in [0] + 12 * [1]:
        state = state._replace(adversary=jax.device_put(fixed))
        state, info = training.step(state, batch, objective, jnp.float32(weight))
        scores.append(-float(info.adversarial[0]))
        moved = changed(leaves(state.trained), before)
        assert all(moved) if weight else not any(moved)
    assert scores[-1] > scores[0] + 0.1


def test_network_and_discriminator_train_together():
    training, begin, objective, _ = adversarial()
    state, batch, weight = begin(), batch_of(), jnp.float32(2)
    own, _, output = training.evaluate(state, batch, objective)
    scores = [
        compiled_scores()(state.adversary, PARAMS, images, batch.style)
        for images in (batch.painting, output)
    ]
    state, info = training.step(state, batch, objective, weight)
    generator, of_discriminator = info.adversarial
    np.testing.assert_allclose(generator, generator_loss(scores[1]), rtol=1e-4)
    np.testing.assert_allclose(of_discriminator, discriminator_loss(*scores), rtol=1e-4)
    np.testing.assert_allclose(info.loss, own + 2 * generator, rtol=1e-4)
    first = float(of_discriminator)
    for step in range(20):
        state, info = training.step(state, batch_of(step), objective, weight)
    assert info.adversarial[1] < 0.5 * first
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))
    assert training.step._cache_size() == 1


def test_what_is_not_finite_leaves_the_discriminator_as_it_was():
    training, begin, objective, _ = adversarial()
    state, info = training.step(begin(), batch_of(), objective, jnp.float32(1))
    before = leaves((state.trained, state.adversary.network, state.adversary.scale))
    broken = batch_of()
    broken = broken._replace(content=broken.content.at[0, 0, 0, 0].set(jnp.nan))
    state, info = training.step(state, broken, objective, jnp.float32(1))
    assert np.isnan(info.adversarial[1])
    after = leaves((state.trained, state.adversary.network, state.adversary.scale))
    assert_equal(after, before)
