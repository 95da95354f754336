"""Learned descent: a network that makes the next image of an optimization.

It is shown the image, the photo and the gradient of the style loss at the image's
pixels. The gradient knows the painting, so that the network need not: it is a style
transfer of few steps for any painting. The first is at a fraction of the size. The
gradient is of an encoder that is trained with the network: what its own style loss
says matters only as far as it leads to a small one of the network that compares.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from nstjax.feedforward.networks.architecture import DescentArchitecture
from nstjax.feedforward.networks.convolution import (
    convolve_folded,
    crop,
    enlarge,
    make_convolution,
)
from nstjax.feedforward.networks.normalization import instance_statistics, normalize
from nstjax.losses.terms import Targets, Weights
from nstjax.losses.total import LossOptions, describe_painting, loss_of_image
from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.vgg import NetworkOptions, Params, Pool, preprocess
from nstjax.statistics.normalization import StyleForm

STYLE_LAYERS = {"relu1_1": 0.125, "relu2_1": 0.125, "relu3_1": 0.25, "relu4_1": 0.5}
ENCODER = CONV_LAYERS[: CONV_LAYERS.index("conv4_1") + 1]
# Below so small a distance the gradient fades: there is nothing left to do.
SMALL_DISTANCE = 0.03
# Of a network's output, which is about 1, to a change of sRGB in 0..1.
STEP = 0.2
EPSILON = 1e-5

Grams = Mapping[str, Array]


class PaintingStyle(NamedTuple):
    """What is known of paintings: a leading axis of pictures, or none for one.

    Attributes:
      mean: of the pixels of the smallest scale, sRGB in 0..1, [3].
      deviation: the same.
      grams: {layer: Gram matrix over hw} of each scale, the smallest picture first.
    """

    mean: Array
    deviation: Array
    grams: tuple[Grams, ...]


class DescentNet(nnx.Module):
    """A U-net from an image, a photo and a gradient to the next image.

    Each convolution is 3×3 and rectified, but for the second of a residual block and
    the last; what is expanded is added to what was contracted at its size, and
    convolved once more. ``encoder`` is a VGG-19 up to conv4_1, see ``encoder_params``.
    """

    def __init__(self, architecture: DescentArchitecture, *, rngs: nnx.Rngs):
        self.architecture = architecture
        channels = architecture.channels
        first, deepest = channels[0], channels[-1]
        pairs = list(itertools.pairwise(channels))

        def layer(channels_in: int, channels_out: int, stride: int = 1) -> Any:
            options: Any = {"stride": stride, "rngs": rngs, "initialization": "he"}
            return make_convolution(channels_in, channels_out, 3, "REFLECT", **options)

        self.contract = nnx.List(
            [layer(9, first), *(layer(*pair, 2) for pair in pairs)]
        )
        self.residual = nnx.List(
            nnx.List([layer(deepest, deepest), layer(deepest, deepest)])
            for _ in range(architecture.residual_blocks)
        )
        self.expand = nnx.List(layer(*pair[::-1]) for pair in reversed(pairs))
        self.merge = nnx.List(layer(pair[0], pair[0]) for pair in reversed(pairs))
        # A new network leaves the image nearly as it is.
        self.last = make_convolution(
            first, 3, 3, "REFLECT", initialization="normal", rngs=rngs
        )
        widths = [3, *(architecture.encoder_channels[int(x[4]) - 1] for x in ENCODER)]
        self.encoder = nnx.Dict(
            {
                name: make_convolution(*pair, 3, "SAME", initialization="he", rngs=rngs)
                for name, pair in zip(ENCODER, itertools.pairwise(widths), strict=True)
            }
        )

    def encoder_params(self) -> Params:
        """The VGG-19 whose gradient is shown: {conv1_1..conv4_1: kernel and bias}."""
        return {
            name: {
                "kernel": jnp.asarray(layer.kernel),
                "bias": jnp.asarray(layer.bias),
            }
            for name, layer in self.encoder.items()
        }

    def __call__(self, image: Array, photo: Array, gradient: Array) -> Array:
        """The next images, which may leave 0..1, [batch, height, width, 3] as all.

        Images and photos are sRGB in 0..1; gradients are from ``normalized_gradient``.
        Sides are multiples of the architecture's stride.
        """
        shown = [2 * image - 1, 2 * photo - 1, gradient]
        activation = jnp.concatenate(shown, axis=-1)
        contracted = []
        for layer in self.contract:
            activation = jax.nn.relu(layer(activation))
            contracted.append(activation)
        for first, second in self.residual:
            activation += second(jax.nn.relu(first(activation)))
        del contracted[-1]
        for expand, merge in zip(self.expand, self.merge, strict=True):
            expanded = convolve_folded(expand, activation, "bilinear")
            activation = jax.nn.relu(merge(jax.nn.relu(expanded) + contracted.pop()))
        return image + STEP * self.last(activation)


def describe_style(
    params: Params, pool: Pool, paintings: Array, scales: int
) -> PaintingStyle:
    """The style of paintings, sRGB in 0..1, [batch, height, width, 3]."""
    pictures = pyramid(paintings, scales)
    mean, variance = instance_statistics(pictures[0])
    layers, loss = tuple(STYLE_LAYERS), style_loss_options(pool)

    def grams(painting: Array) -> Grams:
        return describe_painting(params, preprocess(painting), layers, loss)

    by_scale = tuple(map(jax.vmap(grams), pictures))
    return PaintingStyle(mean, jnp.sqrt(variance + EPSILON), by_scale)


def style_weights() -> Weights:
    """The weights of the loss whose gradient is shown."""
    zero, one = jnp.zeros(()), jnp.ones(())
    layers = {layer: jnp.float32(weight) for layer, weight in STYLE_LAYERS.items()}
    return Weights(zero, one, zero, {}, layers)


def normalized_gradient(
    params: Params, pool: Pool, images: Array, grams: Grams
) -> Array:
    """⅓ arsinh(8 g / rms(g)) · D / (D + 0.03), with g = ∂D/∂x of each image x.

    D is Σ_l w_l √(Σ (G_l - A_l)² / Σ A_l²), with Gram matrices G of the image and A of
    the painting. Each layer counts by its relative distance, whatever its units, and by
    the root of its square, whose gradient does not fade on the way.

    Images are sRGB in 0..1, [batch, height, width, 3], as are the gradients; Gram
    matrices have the same leading axis.
    """
    weights = style_weights()

    def of_one(image: Array, grams: Grams) -> Array:
        def distance(image: Array) -> Array:
            return loss_of_image(
                params,
                image,
                Targets({}, dict(grams)),
                weights,
                style_loss_options(pool),
            )[0]

        value, gradient = jax.value_and_grad(distance)(preprocess(image))
        return normalized(value, gradient)

    return jax.vmap(of_one)(images, grams)


def normalized(distance: Array, gradient: Array) -> Array:
    """See ``normalized_gradient``; the gradient's unit does not matter."""
    size = jnp.sqrt(jnp.square(gradient).mean() + 1e-20)
    # It is largest at edges: without this, nothing would be seen where a photo is flat.
    compressed = jnp.arcsinh(8.0 * gradient / size) / 3.0
    return compressed * (distance / (distance + SMALL_DISTANCE))


def style_loss_options(pool: Pool) -> LossOptions:
    """The loss whose gradient the network is shown."""
    return LossOptions(
        NetworkOptions(pool=pool, pool_padding="same"),
        StyleForm(style_normalization="relative"),
    )


def pyramid(images: Array, scales: int) -> list[Array]:
    """Pictures at each scale, the smallest first, each half the next one's sides.

    What does not fill a block of 2×2 is left out.
    """
    found = [images]
    for _ in range(1, scales):
        batch, height, width, channels = found[0].shape
        kept = crop(found[0], 0, height // 2 * 2, width // 2 * 2)
        blocks = kept.reshape(batch, height // 2, 2, width // 2, 2, channels)
        found.insert(0, blocks.mean((2, 4)))
    return found


def first_image(photos: Array, style: PaintingStyle) -> Array:
    """Photos with each color channel's mean and deviation of the painting's pixels."""
    moments = instance_statistics(photos)
    matched = normalize(photos, moments, EPSILON, style.deviation, style.mean)
    return jnp.clip(matched, 0, 1)


def enlarged_image(
    image: Array, photo: Array, larger_photo: Array, detail: ArrayLike = 1.0
) -> Array:
    """An image at twice the sides, with what the photo has there and had not before.

    U(x) + d·(P - U(p)), with U bilinear enlargement and d the ``detail``, 0..1.
    """
    missing = larger_photo - enlarge(photo, "bilinear")
    return enlarge(image, "bilinear") + detail * missing


def take_steps(
    schedule: Sequence[int],
    photos: Sequence[Array],
    image: Array,
    advance: Callable[[Array, int], Array],
    enlarge: Callable[[Array, Array, Array], Array],
) -> Iterator[Array]:
    """The image after each step of a schedule, from the first image on.

    ``photos`` are from ``pyramid``; ``advance(image, scale)`` is a step, and
    ``enlarge(image, photo, larger_photo)`` goes between the scales.
    """
    for before, scale in itertools.pairwise([0, *schedule]):
        if scale > before:
            image = enlarge(image, photos[before], photos[scale])
        image = advance(image, scale)
        yield image
