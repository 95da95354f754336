"""The loss of learned descent: that of the image that each scale ends with."""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
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
    KeptStyles,
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
    """The mean of ``nstjax.total_loss`` over the last images of a network's scales.

    Each is compared with the photo and the painting at its own scale. Its style loss is
    divided by that of the photo in the painting's colors, so that paintings far from
    all photos do not take the whole network. The gradient goes through the gradients
    that the steps are shown, so that the network's encoder learns, too. The last image
    of all is what is shown, may be its own painting, and has grid and flicker.
    """

    def loss_function(
        network: Network, batch: Batch, objective: Objective, step: Array
    ) -> tuple[Array, tuple[TrainingTerms, Array]]:
        assert isinstance(network, DescentNet)
        photos, encoder = batch.content, network.encoder_params()
        scales = len(network.architecture.steps)
        if objective.kept is None:
            assert batch.painting is not None
            styles = describe_styles(
                objective.params, encoder, loss, batch.painting, scales
            )
        else:
            styles = jax.tree.map(lambda leaf: leaf[batch.style], objective.kept)
        style = styles.style
        advance = functools.partial(descend, network, loss.network.pool, style=style)
        targets = [
            Targets(
                batch_features(objective.params, loss, photo, loss.content_layers),
                dict(target),
            )
            for photo, target in zip(
                pyramid(photos, scales), styles.targets, strict=True
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
        counts = itertools.accumulate(network.architecture.steps)
        compared = [
            jax.vmap(of_one)(images[count - 1], targets[scale], starts)
            for scale, count in enumerate(counts)
        ]
        value = jnp.stack([losses for losses, _ in compared]).mean()
        key = jax.random.fold_in(objective.key, step)
        period = network.architecture.stride
        again = (lambda photos: advance(photos)[-1]) if flicker else None
        return with_penalties(
            *(value, compared[-1][1], images[-1], batch, objective, period, key, again)
        )

    return loss_function


def describe_styles(
    params: Params, encoder: Params, loss: Preset, paintings: Array, scales: int
) -> KeptStyles:
    """What ``params`` compares and ``encoder`` shows of paintings, sRGB in 0..1."""
    describe_one = functools.partial(describe, params, loss)
    targets = map(jax.vmap(describe_one), pyramid(paintings, scales))
    style = describe_style(encoder, loss.network.pool, paintings, scales)
    return KeptStyles(style, tuple(targets))


def keep_styles(
    params: Params,
    encoder: Params,
    loss: Preset,
    paintings: Sequence[np.ndarray],
    scales: int,
) -> KeptStyles:
    """``describe_styles`` of whole paintings of any sizes."""
    describe_one = jax.jit(describe_styles, static_argnums=(2, 4))
    each = [
        describe_one(params, encoder, loss, painting[None], scales)
        for painting in paintings
    ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)


def descend(
    network: DescentNet, pool: Pool, photos: Array, style: PaintingStyle
) -> list[Array]:
    """The images that a network makes of photos: one each step."""
    architecture, params = network.architecture, network.encoder_params()
    by_scale = pyramid(photos, len(architecture.steps))

    def advance(image: Array, scale: int) -> Array:
        gradient = normalized_gradient(params, pool, image, style.grams[scale])
        return network(image, by_scale[scale], gradient)

    first = first_image(by_scale[0], style)
    schedule = architecture.schedule
    return list(take_steps(schedule, by_scale, first, advance, enlarged_image))
