"""The loss of feed-forward networks: a batch against its pictures one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from feedforward_networks import random_network
from flax import nnx

import nstjax
from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
)
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
PARAMS = reference.random_params()
STYLES = 3
TRANSFORM = TransformArchitecture(
    channels=(3, 4, 5),
    residual_blocks=0,
    normalization="conditional",
    styles=STYLES,
    pixels="0..1",
    output="sigmoid",
)
ADAIN = AdaINArchitecture(encoder_channels=7, channels=(5, 4, 3))
LOSS = new_preset(
    "test",
    pool="avg",
    content_layers=("relu1_2", "conv2_1"),
    content_layer_weights=(1.0, 0.5),
    style_layers=("relu1_1", "relu2_1"),
    style_layer_weights=(2.0, 0.25),
    gram_normalization="chw",
    alpha=3.0,
    beta=5.0,
    tv=0.7,
)
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


COMPILED = {}


def compiled_loss(loss):
    """One program for the tests that call it with the same shapes."""
    return COMPILED.setdefault(repr(loss), jax.jit(make_loss(loss)))


def float32(tree):
    return jax.tree.map(np.float32, tree)


def pictures(seed, count, size=SIZE):
    return np.random.default_rng(seed).random((count, size, size, 3), np.float32)


def paintings(size=20):
    """One dark, one of little contrast, one as it is."""
    factors = np.array([0.3, 0.1, 1.0], np.float32)[:, None, None, None]
    return pictures(7, STYLES, size) * factors


def make_objective(loss):
    params = float32(PARAMS)
    return Objective(
        params,
        make_weights(loss),
        stacked_styles(params, loss, paintings()),
        jnp.array([0.5, 1.0, 1.5]),
        jax.random.key(5),
    )


# --- networks of several styles -----------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "style_loss": "wasserstein2",
            "content_normalization": "half_sum",
            "tv_form": "mean_squared",
            "normalize_gradients": True,
            "image_padding": "replicate",
            "pool": "max",
        },
    ],
    ids=["gram", "wasserstein2"],
)
def test_loss_is_the_mean_of_total_loss_over_the_pictures(fields):
    loss = customize(LOSS, optimizer="adam", **fields)
    network, objective = random_network(TRANSFORM), make_objective(loss)
    content, styles, step = pictures(0, 4), [2, 0, 1, 2], 9
    painted = paintings()
    batch = Batch(jnp.asarray(content), jnp.array(styles))
    value, (terms, output) = compiled_loss(loss)(network, batch, objective, step)

    @jax.jit
    def one_by_one(params, photo, shares, painting, result, weights):
        features = batch_features(params, loss, photo[None], loss.content_layers)
        content = jax.tree.map(lambda values: values[0], features)
        targets = Targets(content, describe(params, loss, painting))
        image = nstjax.preprocess(result)
        return (
            network(photo[None], shares[None])[0],
            *total_loss(params, image, targets, weights, **loss_structure(loss)),
        )

    losses = []
    for index, style in enumerate(styles):
        weight = (0.5, 1.0, 1.5)[style]
        restyled, one, its_terms = one_by_one(
            objective.params,
            content[index],
            np.eye(STYLES, dtype=np.float32)[style],
            painted[style],
            output[index],
            objective.weights._replace(style=loss.beta * weight),
        )
        np.testing.assert_allclose(output[index], restyled, atol=1e-5)
        losses.append(float(one))
        for name in ("content", "style", "tv"):
            found, expected = getattr(terms, name)[index], getattr(its_terms, name)
            np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(value, np.mean(losses), rtol=2e-5)


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
    params, two = float32(PARAMS), [paintings(20)[0], paintings(24)[0]]
    with pytest.raises(InputError, match="paintings of one size: give --style_size"):
        stacked_styles(params, loss, two)
    assert stacked_styles(params, LOSS, two)["relu2_1"].shape == (2, 5, 5)


# --- arbitrary style ----------------------------------------------------------------


def restyled_code(content, style):
    """AdaIN in NumPy."""

    def statistics(code):
        return code.mean((0, 1)), np.sqrt(code.var((0, 1)) + 1e-5)

    (mean, deviation), (style_mean, style_deviation) = map(statistics, (content, style))
    return style_deviation * (content - mean) / deviation + style_mean


def arbitrary_objective():
    weights = make_weights(ADAIN_LOSS)
    return Objective(float32(PARAMS), weights, {}, jnp.ones(1), jax.random.key(0))


def moments_distance(F, A):
    (mean, deviation), (style_mean, style_deviation) = (
        (each.mean((0, 1)), np.sqrt(each.var((0, 1)) + 1e-6)) for each in (F, A)
    )
    squares = np.square(mean - style_mean) + np.square(deviation - style_deviation)
    return squares.sum()


def test_arbitrary_loss_against_numpy():
    decoder, size = random_network(ADAIN, seed=1), 20
    objective = arbitrary_objective()
    content, painted = pictures(0, 3, size), pictures(1, 3, size) ** 2
    batch = Batch(jnp.asarray(content), jnp.zeros(3, int), jnp.asarray(painted))
    value, (terms, output) = compiled_loss(ADAIN_LOSS)(decoder, batch, objective, 0)
    assert output.shape == content.shape

    def trunk(image):
        pixels = 255 * np.float64(image) - reference.MEAN_RGB
        return reference.trunk(PARAMS, pixels, ADAIN_LOSS.style_layers, "max", "same")

    decode = jax.jit(lambda code: decoder(code[None])[0])
    losses = []
    for index in range(3):
        style = trunk(painted[index])
        code = restyled_code(trunk(content[index])["relu4_1"], style["relu4_1"])
        decoded = decode(code.astype(np.float32))
        assert decoded.shape == (24, 24, 3)
        scale = np.abs(decoded).max()
        np.testing.assert_allclose(
            output[index], decoded[:size, :size], atol=1e-4 * scale
        )
        found = trunk(output[index])
        content_loss = np.square(found["relu4_1"] - code).sum() / (512 * 3 * 3)
        style_loss = sum(
            weight * moments_distance(found[layer], style[layer]) / channels
            for layer, weight, channels in (("relu1_1", 2, 64), ("relu4_1", 1.5, 512))
        )
        np.testing.assert_allclose(terms.content[index], content_loss, rtol=1e-3)
        np.testing.assert_allclose(terms.style[index], style_loss, rtol=1e-3)
        losses.append(3 * content_loss + 5 * style_loss)
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-3)


def test_photos_that_are_their_own_painting_are_to_come_back():
    decoder, size = random_network(ADAIN, seed=1), 20
    objective = arbitrary_objective()
    content, painted = pictures(0, 3, size), pictures(1, 3, size)
    painted[1] = content[1]
    batch = Batch(jnp.asarray(content), jnp.zeros(3, int), jnp.asarray(painted))
    loss = compiled_loss(ADAIN_LOSS)
    without, (_, output) = loss(decoder, batch, objective, 0)
    weighted, _ = loss(decoder, batch, objective._replace(identity_weight=1e6), 0)
    errors = np.square(np.float64(output) - content).mean((1, 2, 3))
    np.testing.assert_allclose(weighted - without, 1e6 * errors[1] / 3, rtol=1e-3)


# --- the grid -----------------------------------------------------------------------


@pytest.mark.parametrize("kind, period", [("transform", 4), ("adain", 8)])
def test_a_grid_of_the_network_s_upsampling_is_penalized(kind, period):
    # The programs of the tests above.
    if kind == "transform":
        loss = customize(LOSS, optimizer="adam")
        network, objective = random_network(TRANSFORM), make_objective(loss)
        batch = Batch(jnp.asarray(pictures(0, 4)), jnp.array([2, 0, 1, 2]))
    else:
        loss = ADAIN_LOSS
        network, objective = random_network(ADAIN, seed=1), arbitrary_objective()
        content, painted = pictures(0, 3, 20), pictures(1, 3, 20)
        batch = Batch(jnp.asarray(content), jnp.zeros(3, int), jnp.asarray(painted))
    evaluate = compiled_loss(loss)
    without, (terms, output) = evaluate(network, batch, objective, 0)
    weight = float(1e3 * without / terms.grid.mean())
    weighted, _ = evaluate(network, batch, objective._replace(grid_weight=weight), 0)
    np.testing.assert_allclose(terms.grid, grid_loss(output, period), rtol=1e-3)
    np.testing.assert_allclose(
        weighted - without, weight * np.mean(terms.grid), rtol=1e-4
    )


@pytest.mark.parametrize("kind", ["transform", "adain"])
def test_gradient_is_that_of_finite_differences(float64, kind):
    transform = kind == "transform"
    loss = FEW_LAYERS if transform else ADAIN_LOSS
    network = random_network(TRANSFORM if transform else ADAIN, seed=2)
    graph, state = nnx.split(network)
    objective = make_objective(loss)._replace(params=PARAMS)
    state = jax.tree.map(np.float64, state)
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


# --- balance ------------------------------------------------------------------------


def test_balanced_styles_have_the_same_loss_of_photos():
    params, photos = float32(PARAMS), pictures(4, 5)
    styles = stacked_styles(params, LOSS, paintings())
    found = np.asarray(balanced_style_weights(params, LOSS, styles, photos))

    weights = make_weights(LOSS)

    @jax.jit
    def style_loss(photo, painting):
        targets = Targets({}, describe(params, LOSS, painting))
        image, structure = nstjax.preprocess(photo), loss_structure(LOSS)
        return total_loss(params, image, targets, weights, **structure)[1].style

    means = np.array(
        [
            np.mean([style_loss(photo, painting) for photo in photos])
            for painting in paintings()
        ]
    )
    assert means.max() > 2 * means.min()
    np.testing.assert_allclose(found * means, found[0] * means[0], rtol=1e-4)
    np.testing.assert_allclose(np.prod(found), 1, rtol=1e-5)
