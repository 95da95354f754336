"""The loss of feed-forward networks: a batch against its pictures one by one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from feedforward_networks import random_network
from feedforward_trainings import PARAMS, narrow
from flax import nnx

import nstjax
from nstjax.errors import InputError
from nstjax.feedforward.networks.adain import (
    CODE_LAYER,
    adaptive_instance_normalization,
    make_encoder,
    style_of_code,
)
from nstjax.feedforward.networks.architecture import AdaINArchitecture
from nstjax.feedforward.training.flicker import flicker_loss, moved_photos
from nstjax.feedforward.training.grid_loss import grid_loss
from nstjax.feedforward.training.objective import (
    Batch,
    Objective,
    balanced_style_weights,
    batch_features,
    describe,
    make_loss,
    stacked_styles,
)
from nstjax.losses.terms import Targets
from nstjax.losses.total import total_loss
from nstjax.presets.settings import customize, loss_structure, new_preset
from nstjax.problem.problem import make_weights

SIZE = 16
STYLES = 3
TRANSFORM = dataclasses.replace(narrow("conditional"), styles=STYLES)
ADAIN = AdaINArchitecture(encoder_channels=7, channels=(5, 4, 3))
LOSS = new_preset(
    "test",
    pool="avg",
    content_layers=("relu1_2", "conv2_1"),
    content_layer_weights=(1.0, 0.5),
    style_layers=("relu1_1", "relu2_1"),
    style_layer_weights=(2.0, 0.25),
    gram_normalization="chw",
    # So that each term is of some weight.
    alpha=3.0,
    beta=50.0,
    tv=1e-3,
)
STRUCTURES = {
    "gram": {},
    "wasserstein2": {
        "style_loss": "wasserstein2",
        "content_normalization": "half_sum",
        "tv_form": "mean_squared",
        **{"alpha": 3e-4, "beta": 5.0, "tv": 0.7},
        "normalize_gradients": True,
        "image_padding": "replicate",
        "pool": "max",
    },
}
FEW_LAYERS = customize(LOSS, content_layers=("relu1_2",), style_layers=("relu1_1",))
ADAIN_LOSS = new_preset(
    "test",
    pool_padding="same",
    content_layers=("relu4_1",),
    style_layers=("relu1_1", "relu4_1"),
    style_layer_weights=(2.0, 1.5),
    style_loss="moments",
    style_normalization="unscaled",
    alpha=3.0,
    beta=5.0,
)


@functools.cache
def compiled_loss(loss):
    """One program for the tests that call it with the same shapes."""
    return jax.jit(make_loss(loss))


def pictures(seed, count, size=SIZE):
    return np.random.default_rng(seed).random((count, size, size, 3), np.float32)


def paintings(size=20):
    """One dark, one of little contrast, one as it is."""
    factors = np.array([0.3, 0.1, 1.0], np.float32)[:, None, None, None]
    return pictures(7, STYLES, size) * factors


def make_objective(loss):
    styles, shares = stacked_styles(PARAMS, loss, paintings()), jnp.array([0.5, 1, 1.5])
    return Objective(PARAMS, make_weights(loss), styles, shares, jax.random.key(5))


def example(kind):
    """Loss, network, batch and objective; of arbitrary style or of several styles."""
    if kind != "adain":
        loss = customize(LOSS, optimizer="adam", **STRUCTURES[kind])
        batch = Batch(jnp.asarray(pictures(0, 4)), jnp.array([2, 0, 1, 2]))
        return loss, random_network(TRANSFORM), batch, make_objective(loss)
    # One photo is its own painting; 8 does not divide their sides.
    content, painted = pictures(0, 3, 20), pictures(1, 3, 20) ** 2
    painted[1] = content[1]
    batch = Batch(jnp.asarray(content), jnp.zeros(3, int), jnp.asarray(painted))
    weights = make_weights(ADAIN_LOSS)
    objective = Objective(PARAMS, weights, {}, jnp.ones(1), jax.random.key(0))
    return ADAIN_LOSS, random_network(ADAIN, seed=1), batch, objective


@pytest.mark.parametrize("kind", ["gram", "wasserstein2", "adain"])
def test_loss_is_the_mean_of_total_loss_over_the_pictures(kind):
    loss, network, batch, objective = example(kind)
    value, (terms, output) = compiled_loss(loss)(network, batch, objective, 9)
    assert output.shape == batch.content.shape
    painted = paintings()[batch.style] if kind != "adain" else batch.painting
    side = output.shape[1]

    @jax.jit
    def one_by_one(params, photo, painting, shares, result, weights):
        if kind == "adain":
            encode = make_encoder(params, "max")
            style = style_of_code(encode(painting[None]))
            code = adaptive_instance_normalization(encode(photo[None]), style)
            restyled, content = network(code)[:, :side, :side], {CODE_LAYER: code}
        else:
            restyled = network(photo[None], shares[None])
            content = batch_features(params, loss, photo[None], loss.content_layers)
        content = jax.tree.map(lambda values: values[0], content)
        targets = Targets(content, describe(params, loss, painting))
        image, structure = nstjax.preprocess(result), loss_structure(loss)
        return restyled[0], *total_loss(params, image, targets, weights, **structure)

    losses = []
    for index, style in enumerate(batch.style):
        weight = loss.beta * float(objective.style_weights[style])
        restyled, one, its_terms = one_by_one(
            *(objective.params, batch.content[index], painted[index]),
            np.eye(STYLES, dtype=np.float32)[style],
            *(output[index], objective.weights._replace(style=weight)),
        )
        close = {"rtol": 0, "atol": 1e-5 * np.abs(restyled).max()}
        np.testing.assert_allclose(output[index], restyled, **close)
        losses.append(float(one))
        for name in ("content", "style", "tv"):
            found, expected = getattr(terms, name)[index], getattr(its_terms, name)
            np.testing.assert_allclose(found, expected, rtol=5e-5)
    # Nothing else has a weight.
    np.testing.assert_allclose(value, np.mean(losses), rtol=5e-5)


def test_sampled_losses_draw_anew_for_every_step_and_picture():
    loss = customize(
        LOSS, style_loss="sliced", style_layers=("relu1_1",), optimizer="adam"
    )
    network, objective = random_network(TRANSFORM), make_objective(loss)
    batch = Batch(jnp.asarray(np.repeat(pictures(0, 1), 2, 0)), jnp.zeros(2, int))
    evaluate = compiled_loss(loss)
    (first, (terms, _)), (again, _), (later, _) = (
        evaluate(network, batch, objective, step) for step in (3, 3, 4)
    )
    assert terms.style[0] != terms.style[1]
    assert first == again
    assert first != later


def test_sampled_losses_need_paintings_of_one_size():
    loss = customize(LOSS, style_loss="sliced", optimizer="adam")
    two = [paintings(20)[0], paintings(24)[0]]
    with pytest.raises(InputError, match="paintings of one size: give --style_size"):
        stacked_styles(PARAMS, loss, two)
    assert stacked_styles(PARAMS, LOSS, two)["relu2_1"].shape == (2, 5, 5)


@pytest.mark.parametrize("kind, period", [("gram", 4), ("adain", 8)])
def test_grid_and_identity_are_penalized(kind, period):
    # The programs of the tests above.
    loss, network, batch, objective = example(kind)
    evaluate = compiled_loss(loss)
    without, (terms, output) = evaluate(network, batch, objective, 0)
    np.testing.assert_allclose(terms.grid, grid_loss(output, period), rtol=1e-3)
    errors = np.square(np.float64(output) - batch.content).mean((1, 2, 3))
    # Only the photo that is its own painting is to come back.
    identity = errors[1] / 3 if kind == "adain" else 0.0
    for name, penalty in (
        ("grid_weight", np.mean(terms.grid)),
        ("identity_weight", identity),
    ):
        weight = float(1e3 * without / (penalty or 1))
        weighted, _ = evaluate(network, batch, objective._replace(**{name: weight}), 0)
        np.testing.assert_allclose(weighted - without, weight * penalty, rtol=1e-3)


@pytest.mark.parametrize("kind", ["gram", "adain"])
def test_what_flickers_is_penalized(kind):
    loss, network, batch, objective = example(kind)
    without, (_, output) = compiled_loss(loss)(network, batch, objective, 0)
    evaluate = jax.jit(make_loss(loss, flicker=True))
    keys = [jax.random.fold_in(objective.key, step) for step in (0, 1)]
    losses = []
    for step, key in enumerate(keys):
        moved, flows = moved_photos(jax.random.fold_in(key, 1), batch.content)
        _, (_, after) = compiled_loss(loss)(
            network, batch._replace(content=moved), objective, 0
        )
        if kind == "adain":
            # The photo that was its own painting is so no more, but is rendered alike.
            assert np.abs(after - output).max() > 0
        losses.append(flicker_loss(output, after, flows))
        weighted = objective._replace(flicker_weight=float(without))
        value, (terms, _) = evaluate(network, batch, weighted, step)
        np.testing.assert_allclose(terms.flicker, losses[-1], rtol=2e-3)
        expected = without * (1 + np.mean(losses[-1]))
        np.testing.assert_allclose(value, expected, rtol=1e-4)
    # Photos move otherwise in every step.
    assert np.abs(losses[1] / losses[0] - 1).min() > 1e-3


@pytest.mark.parametrize("kind", ["transform", "adain"])
def test_gradient_is_that_of_finite_differences(float64, kind):
    transform = kind == "transform"
    loss = FEW_LAYERS if transform else ADAIN_LOSS
    network = random_network(TRANSFORM if transform else ADAIN, seed=2)
    graph, state = nnx.split(network)
    params, state = jax.tree.map(np.float64, (PARAMS, state))
    objective = make_objective(loss)._replace(params=params)
    content, painted = (np.float64(pictures(seed, 2)) for seed in (0, 1))
    batch = Batch(content, np.array([2, 0]), painted)

    @jax.jit
    @jax.value_and_grad
    def evaluate(state):
        return make_loss(loss)(nnx.merge(graph, state), batch, objective, 0)[0]

    random = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), state)

    def moved(distance):
        there = jax.tree.map(lambda x, d: x + distance * d, state, direction)
        return evaluate(there)[0]

    slope = (moved(1e-7) - moved(-1e-7)) / 2e-7
    assert slope != 0
    gradient = evaluate(state)[1]
    np.testing.assert_allclose(optax.tree.vdot(gradient, direction), slope, rtol=1e-5)


def test_balanced_styles_have_the_same_loss_of_photos():
    photos, weights = pictures(4, 5), make_weights(LOSS)
    styles = stacked_styles(PARAMS, LOSS, paintings())
    found = np.asarray(balanced_style_weights(PARAMS, LOSS, styles, photos))

    @jax.jit
    def style_loss(photo, painting):
        targets = Targets({}, describe(PARAMS, LOSS, painting))
        image, structure = nstjax.preprocess(photo), loss_structure(LOSS)
        return total_loss(PARAMS, image, targets, weights, **structure)[1].style

    losses = [[style_loss(photo, each) for photo in photos] for each in paintings()]
    means = np.mean(losses, axis=1)
    assert means.max() > 2 * means.min()
    np.testing.assert_allclose(found * means, found[0] * means[0], rtol=1e-4)
    np.testing.assert_allclose(np.prod(found), 1, rtol=1e-5)
