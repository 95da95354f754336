"""The loss that a feed-forward network is trained on: that of one image, over a batch.

A network's output is compared as ``nstjax.total_loss`` compares an image that is
optimized; for arbitrary style the content target is the code that was decoded.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.feedforward.networks import adain
from nstjax.feedforward.networks.descent import PaintingStyle
from nstjax.feedforward.networks.networks import AdaINDecoder, Network, TransformNet
from nstjax.feedforward.training.flicker import flicker_loss, moved_photos
from nstjax.feedforward.training.grid_loss import grid_loss
from nstjax.losses.terms import LossTerms, Targets, Weights
from nstjax.losses.total import describe_painting, loss_of_image
from nstjax.network.vgg import Params, activations_of, preprocess
from nstjax.presets.preset import Preset
from nstjax.problem.problem import make_weights
from nstjax.statistics.style import style_statistic, style_target


class Batch(NamedTuple):
    """Photos, sRGB in 0..1, [batch, size, size, 3], and each one's style's index.

    Crops of paintings, like the photos, are the styles themselves for arbitrary style,
    and what a discriminator is shown; else None.
    """

    content: Array
    style: Array
    painting: Array | None = None


class KeptStyles(NamedTuple):
    """The styles that learned descent keeps by name, with a leading axis of styles.

    ``targets`` are {layer: target} of each scale, the smallest picture first.
    """

    style: PaintingStyle
    targets: tuple[Mapping[str, Any], ...]


class Objective(NamedTuple):
    """The numbers of the loss, with ``params`` of the fixed network that compares.

    ``styles`` are {layer: target with a leading axis of styles}, none for arbitrary
    style; ``style_weights``, [styles], are what beta is multiplied by. The key is of
    the sampled style losses; ``kept`` are named styles of learned descent, else None.
    """

    params: Params
    weights: Weights
    styles: Mapping[str, Any]
    style_weights: Array
    key: Array
    grid_weight: ArrayLike = 0.0
    identity_weight: ArrayLike = 0.0
    flicker_weight: ArrayLike = 0.0
    kept: KeptStyles | None = None


class TrainingTerms(NamedTuple):
    """``nstjax.LossTerms``, grid and flicker of a batch, unweighted, [batch] each."""

    content: Array
    style: Array
    tv: Array
    grid: Array
    flicker: Array


# (network, batch, objective, step) -> (mean loss, (terms of each picture, output))
LossFunction = Callable[
    [Network, Batch, Objective, Array], tuple[Array, tuple[TrainingTerms, Array]]
]


def batch_features(
    params: Params, loss: Preset, images: Array, layers: Sequence[str]
) -> dict[str, Array]:
    """Features, as a loss takes them, of pictures [batch, height, width, 3] in 0..1."""
    return jax.vmap(
        lambda image: activations_of(params, preprocess(image), layers, loss.network)
    )(images)


def make_loss(loss: Preset, *, flicker: bool = False) -> LossFunction:
    """The loss of either kind of network, of a structure; numbers are in ``Objective``.

    Of a batch it is the mean of ``nstjax.total_loss`` over the pictures, plus the
    weighted means of the grid loss, of the flicker if asked for, and, for arbitrary
    style, of the squared error of photos that are their own painting.
    """

    def loss_function(
        network: Network, batch: Batch, objective: Objective, step: Array
    ) -> tuple[Array, tuple[TrainingTerms, Array]]:
        photos, painting, params = batch.content, batch.painting, objective.params
        style: Any
        if isinstance(network, AdaINDecoder):
            assert painting is not None
            encode = adain.make_encoder(params, loss.network.pool)
            code_style = adain.style_of_code(encode(painting))

            def render(photos: Array) -> tuple[Array, Array]:
                code = adain.adaptive_instance_normalization(encode(photos), code_style)
                return network(code)[:, : photos.shape[1], : photos.shape[2]], code

            output, code = render(photos)
            content = {adain.CODE_LAYER: code}
            style = jax.vmap(functools.partial(describe, params, loss))(painting)
            style_weights, period = jnp.ones(len(code)), 2**adain.POOLINGS
        else:
            assert isinstance(network, TransformNet)
            shares = jax.nn.one_hot(batch.style, len(objective.style_weights))

            def render(photos: Array) -> tuple[Array, Array]:
                return network(photos, shares), shares

            output, _ = render(photos)
            content = batch_features(params, loss, photos, loss.content_layers)
            style = jax.tree.map(lambda target: target[batch.style], objective.styles)
            style_weights = objective.style_weights[batch.style]
            period = network.architecture.stride
        weights = objective.weights

        def of_one(
            image: Array, content: Any, style: Any, weight: Array, key: Array
        ) -> tuple[Array, LossTerms]:
            image, targets = preprocess(image), Targets(content, style)
            own = weights._replace(style=weights.style * weight)
            return loss_of_image(params, image, targets, own, loss.loss, key)

        key = jax.random.fold_in(objective.key, step)
        keys = jax.random.split(key, len(output))
        losses, terms = jax.vmap(of_one)(output, content, style, style_weights, keys)
        again = (lambda photos: render(photos)[0]) if flicker else None
        return with_penalties(
            losses.mean(), terms, output, batch, objective, period, key, again
        )

    return loss_function


def with_penalties(
    value: Array,
    terms: LossTerms,
    output: Array,
    batch: Batch,
    objective: Objective,
    period: int,
    key: Array,
    render: Callable[[Array], Array] | None,
) -> tuple[Array, tuple[TrainingTerms, Array]]:
    """What a ``LossFunction`` returns, with all that is asked of the output besides.

    ``value`` and ``terms`` are of the loss as it was; ``period`` is the grid's, and
    ``render`` makes an output of moved photos, or is None for no flicker.
    """
    photos = batch.content
    if batch.painting is not None:
        same = jnp.equal(batch.painting, photos).all((1, 2, 3))
        errors = jnp.square(output - photos).mean((1, 2, 3))
        value += objective.identity_weight * (same * errors).mean()
    grid = grid_loss(output, period)
    value += objective.grid_weight * grid.mean()
    flicker = jnp.zeros(len(output))
    if render is not None:
        moved, flows = moved_photos(jax.random.fold_in(key, 1), photos)
        flicker = flicker_loss(output, render(moved), flows)
        value += objective.flicker_weight * flicker.mean()
    shown = TrainingTerms(terms.content, terms.style, terms.tv, grid, flicker)
    return value, (shown, output)


def describe(params: Params, loss: Preset, painting: Array) -> dict[str, Any]:
    """A painting's style target for each layer, from sRGB in 0..1."""
    image, layers = preprocess(painting), loss.style_layers
    descriptions = describe_painting(params, image, layers, loss.loss)
    return {
        layer: style_target(description, loss.loss.style)
        for layer, description in descriptions.items()
    }


def stacked_styles(
    params: Params, loss: Preset, paintings: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Targets of several paintings, with a leading axis: for ``Objective.styles``."""
    name = loss.loss.style.style_loss
    if style_statistic(name).sampled and len({each.shape for each in paintings}) > 1:
        raise InputError(
            f"style_loss={name} needs paintings of one size: give --style_size=512x512"
        )
    one = jax.jit(functools.partial(describe, loss=loss))
    targets = [one(params, painting=painting) for painting in paintings]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *targets)


def balanced_style_weights(
    params: Params, loss: Preset, styles: Mapping[str, Any], photos: np.ndarray
) -> Array:
    """Weights, of geometric mean 1, that make all styles' mean loss of photos the same.

    A Gram loss grows with the fourth power of a painting's contrast: unbalanced, a few
    paintings take the whole network. ``styles`` is from ``stacked_styles``.
    """
    zero, one = jnp.zeros(()), jnp.ones(())
    only_style = make_weights(loss)._replace(content=zero, style=one, tv=zero)

    @jax.jit
    def losses(photo: Array) -> Array:
        def of_style(style: Any) -> Array:
            image, targets = preprocess(photo), Targets({}, style)
            return loss_of_image(params, image, targets, only_style, loss.loss)[0]

        return jax.vmap(of_style)(styles)

    mean = jnp.stack([losses(jnp.asarray(photo)) for photo in photos]).mean(0)
    return jnp.exp(jnp.log(mean).mean() - jnp.log(mean))
