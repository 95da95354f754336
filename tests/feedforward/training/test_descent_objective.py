"""The loss of learned descent, with each image of the way made one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import reference
from feedforward_networks import random_network
from flax import nnx

import nstjax
from nstjax.feedforward.networks import descent
from nstjax.feedforward.networks.architecture import DescentArchitecture
from nstjax.feedforward.training import descent_objective
from nstjax.feedforward.training.descent_objective import make_descent_loss
from nstjax.feedforward.training.flicker import flicker_loss, moved_photos
from nstjax.feedforward.training.grid_loss import grid_loss
from nstjax.feedforward.training.objective import Batch, Objective
from nstjax.feedforward.training.presets import TRAINING_PRESETS
from nstjax.losses.terms import Targets
from nstjax.presets.settings import customize, loss_structure
from nstjax.problem.problem import make_weights

ARCHITECTURE = DescentArchitecture(
    channels=(4, 5), residual_blocks=1, steps=(1, 2), encoder_channels=(4, 5, 4, 5)
)
LOSS = customize(
    TRAINING_PRESETS["descent"].loss,
    content_layers=("relu2_1", "relu1_2"),
    content_layer_weights=(1.0, 0.5),
    style_layers=("relu1_1", "relu3_1"),
    style_layer_weights=(0.7, 0.3),
    beta=3.0,
    tv=1e-4,
)
ENCODER = reference.random_params(1, (4, 5, 4, 5), blocks=4)
# What compares.
PARAMS = jax.tree.map(np.float32, reference.random_params(2, (5, 4, 6), blocks=3))


def example():
    random = np.random.default_rng(0)
    photos, paintings = (
        jnp.asarray(random.random((2, 32, 32, 3), np.float32) ** power)
        for power in (1, 2)
    )
    # The second photo is its own painting.
    paintings = paintings.at[1].set(photos[1])
    network = random_network(ARCHITECTURE, seed=3)
    for layer, params in network.encoder.items():
        for name, values in ENCODER[layer].items():
            getattr(params, name).set_value(jnp.asarray(values, jnp.float32))
    objective = Objective(
        *(PARAMS, make_weights(LOSS), {}, jnp.ones(1), jax.random.key(4)),
    )
    return network, Batch(photos, jnp.zeros(2, int), paintings), objective


@jax.jit
def step(network, image, photo, grams):
    gradient = descent.normalized_gradient(ENCODER, "max", image[None], grams)
    return network(image[None], photo[None], gradient)[0]


@jax.jit
def compared(image, photo, painting, start=1.0):
    """``nstjax.total_loss`` of an image in 0..1, and its terms."""
    options = {"pool": "max", "pool_padding": "same"}
    photo, painting, image = map(nstjax.preprocess, (photo, painting, image))
    content = nstjax.features(PARAMS, photo, LOSS.content_layers, **options)
    style = nstjax.style_statistics(PARAMS, painting, LOSS.style_layers, **options)
    structure = loss_structure(LOSS)
    weights = make_weights(LOSS)
    weights = weights._replace(style=weights.style / start)
    return nstjax.total_loss(
        PARAMS, image, Targets(content, style), weights, **structure
    )


def one_by_one(network, photo, painting):
    """Each image, and the photo and the painting at its scale; the first as it was."""
    photos, paintings = (
        [one[0] for one in descent.pyramid(each[None], 2)] for each in (photo, painting)
    )
    style = descent.describe_style(ENCODER, "max", painting[None], 2)
    image = descent.first_image(photos[0][None], style)[0]
    images = [image, step(network, image, photos[0], style.grams[0])]
    image = descent.enlarged_image(*(x[None] for x in (images[1], *photos)), 1.0)[0]
    for _ in range(2):
        image = step(network, image, photos[1], style.grams[1])
        images.append(image)
    return [
        (image, photos[scale], paintings[scale])
        for image, scale in zip(images, (0, 0, 1, 1), strict=True)
    ]


def test_loss_is_the_mean_of_total_loss_over_the_last_images_of_the_scales():
    network, batch, objective = example()
    # At its own style itself, a gradient would have the direction of its rounding.
    painting = batch.painting.at[1].add(0.03 * (batch.content[0] - batch.content[1]))
    batch = batch._replace(painting=painting)
    value, (terms, output) = jax.jit(make_descent_loss(LOSS))(
        network, batch, objective, 0
    )
    losses = []
    for index in range(2):
        way = one_by_one(network, batch.content[index], batch.painting[index])
        start = compared(*way.pop(0))[1].style
        # The second one nearly has the style already.
        assert (start > 0.1) == (index == 0)
        # The first of the two steps at full size is compared with nothing.
        found = [compared(*images, max(start, 0.1)) for images in (way[0], way[2])]
        losses.append(np.mean([loss for loss, _ in found]))
        np.testing.assert_allclose(output[index], way[-1][0], atol=2e-4)
        for name in ("content", "style", "tv"):
            expected = getattr(found[-1][1], name)
            np.testing.assert_allclose(getattr(terms, name)[index], expected, rtol=1e-3)
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-3)


def test_kept_styles_are_those_of_whole_paintings_and_take_the_place_of_crops():
    network, batch, objective = example()
    odd = np.random.default_rng(5).random((37, 52, 3), np.float32)
    paintings = [odd, np.asarray(batch.painting[0])]
    kept = descent_objective.keep_styles(PARAMS, ENCODER, LOSS, paintings, 2)
    style = descent.describe_style(ENCODER, "max", jnp.asarray(odd)[None], 2)
    options = {"pool": "max", "pool_padding": "same"}
    targets = tuple(
        nstjax.style_statistics(
            PARAMS, nstjax.preprocess(picture[0]), LOSS.style_layers, **options
        )
        for picture in descent.pyramid(jnp.asarray(odd)[None], 2)
    )
    wanted = jax.tree.leaves((style, jax.tree.map(lambda leaf: leaf[None], targets)))
    for found, expected in zip(jax.tree.leaves(kept), wanted, strict=True):
        np.testing.assert_allclose(found[:1], expected, rtol=1e-4)
    evaluate = jax.jit(make_descent_loss(LOSS))
    same = jnp.broadcast_to(batch.painting[0], batch.painting.shape)
    expected = evaluate(network, batch._replace(painting=same), objective, 0)
    named = batch._replace(style=jnp.ones(2, int), painting=None)
    found = evaluate(network, named, objective._replace(kept=kept), 0)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)


def test_grid_identity_and_flicker_are_of_the_last_image():
    network, batch, objective = example()
    evaluate = jax.jit(make_descent_loss(LOSS, flicker=True))
    without, (terms, output) = evaluate(network, batch, objective, 7)
    key = jax.random.fold_in(jax.random.fold_in(objective.key, 7), 1)
    moved, flows = moved_photos(key, batch.content)
    _, (_, after) = evaluate(network, batch._replace(content=moved), objective, 7)
    flicker = flicker_loss(output, after, flows)
    np.testing.assert_allclose(terms.flicker, flicker, rtol=1e-3)
    errors = np.square(np.float64(output) - batch.content).mean((1, 2, 3))
    penalties = {
        "grid_weight": np.mean(grid_loss(output, 2)),
        "identity_weight": errors[1] / 2,
        "flicker_weight": np.mean(flicker),
    }
    for name, penalty in penalties.items():
        weight = float(1e2 * without / penalty)
        weighted, _ = evaluate(network, batch, objective._replace(**{name: weight}), 7)
        np.testing.assert_allclose(weighted - without, weight * penalty, rtol=2e-3)


def test_gradient_is_that_of_the_loss_and_reaches_the_encoder(float64):
    network, batch, objective = example()
    graph, state = nnx.split(network)
    state, params = jax.tree.map(np.float64, (state, PARAMS))
    batch = Batch(*(np.float64(each) for each in batch))
    batch = batch._replace(style=np.zeros(2, int))
    objective = objective._replace(params=params)

    @jax.jit
    def evaluate(state):
        network = nnx.merge(graph, state)
        return make_descent_loss(LOSS)(network, batch, objective, 0)[0]

    gradient = jax.jit(jax.grad(evaluate))(state)
    random = np.random.default_rng(0)
    for encoder in (False, True):
        direction = jax.tree_util.tree_map_with_path(
            lambda path, leaf, encoder=encoder: (
                random.normal(size=leaf.shape)
                * (("encoder" in str(path)) == encoder)
                * np.sqrt(np.square(leaf).mean())
            ),
            state,
        )
        there, back = (
            evaluate(optax.tree.add_scale(state, distance, direction))
            for distance in (1e-6, -1e-6)
        )
        slope = (there - back) / 2e-6
        assert slope != 0
        found = optax.tree.vdot(gradient, direction)
        np.testing.assert_allclose(found, slope, rtol=1e-4)
