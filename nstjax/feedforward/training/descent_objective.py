"""The loss of learned descent: that of every image on the way, from the photo on."""

import functools

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.feedforward.networks.descent import (
    DescentNet,
    PaintingStyle,
    describe_style,
    enlarged_image,
    first_image,
    normalized_gradient,
    pyramid,
    take_steps,
)
from nstjax.feedforward.networks.networks import Network
from nstjax.feedforward.training.objective import (
    Batch,
    LossFunction,
    Objective,
    TrainingTerms,
    batch_features,
    describe,
    with_penalties,
)
from nstjax.losses.terms import LossTerms, Targets
from nstjax.losses.total import loss_of_image
from nstjax.network.vgg import Params, Pool, preprocess
from nstjax.presets.preset import Preset

# Of a photo's style loss: one that has the style already needs no more.
LEAST_START = 0.1


def make_descent_loss(loss: Preset, *, flicker: bool = False) -> LossFunction:
    """The mean of ``nstjax.total_loss`` over the images that a ``DescentNet`` makes.

    Each image is compared with the photo and the painting at its own scale. Its style
    loss is divided by that of the photo in the painting's colors, so that paintings far
    from all photos do not take the whole network. Each step is to be as good as it can
    be from where it begins: no gradient goes through the gradient that it is shown,
    which is of ``Objective.encoder``. The last image is what is shown, may be its own
    painting, and has grid and flicker.
    """

    def loss_function(
        network: Network, batch: Batch, objective: Objective, step: Array
    ) -> tuple[Array, tuple[TrainingTerms, Array]]:
        assert isinstance(network, DescentNet)
        photos, paintings = batch.content, batch.painting
        assert paintings is not None and objective.encoder is not None
        scales = len(network.architecture.steps)
        encoder, pool = objective.encoder, loss.network.pool
        style = describe_style(encoder, pool, paintings, scales)
        advance = functools.partial(descend, network, encoder, pool, style=style)
        describe_one = functools.partial(describe, objective.params, loss)
        targets = [
            Targets(
                batch_features(objective.params, loss, photo, loss.content_layers),
                jax.vmap(describe_one)(painting),
            )
            for photo, painting in zip(
                pyramid(photos, scales), pyramid(paintings, scales), strict=True
            )
        ]

        def of_one(
            image: Array, targets: Targets, start: Array
        ) -> tuple[Array, LossTerms]:
            weights = objective.weights
            weights = weights._replace(style=weights.style / start)
            image = preprocess(image)
            return loss_of_image(objective.params, image, targets, weights, loss.loss)

        first = first_image(pyramid(photos, scales)[0], style)
        _, before = jax.vmap(of_one)(first, targets[0], jnp.ones(len(first)))
        starts = jnp.maximum(before.style, LEAST_START)
        images = advance(photos)
        compared = [
            jax.vmap(of_one)(image, targets[scale], starts)
            for image, scale in zip(images, network.architecture.schedule, strict=True)
        ]
        value = jnp.stack([losses for losses, _ in compared]).mean()
        key = jax.random.fold_in(objective.key, step)
        period = network.architecture.stride
        again = (lambda photos: advance(photos)[-1]) if flicker else None
        return with_penalties(
            *(value, compared[-1][1], images[-1], batch, objective, period, key, again)
        )

    return loss_function


def descend(
    network: DescentNet,
    params: Params,
    pool: Pool,
    photos: Array,
    style: PaintingStyle,
) -> list[Array]:
    """The images that a network makes of photos: one each step."""
    architecture = network.architecture
    by_scale = pyramid(photos, len(architecture.steps))

    def advance(image: Array, scale: int) -> Array:
        seen = jax.lax.stop_gradient(image)
        gradient = normalized_gradient(params, pool, seen, style.grams[scale])
        return network(image, by_scale[scale], jax.lax.stop_gradient(gradient))

    first = first_image(by_scale[0], style)
    schedule = architecture.schedule
    return list(take_steps(schedule, by_scale, first, advance, enlarged_image))
