"""Restyling pictures that are larger than memory: tile by tile, and yet exactly.

Each layer is computed over the whole picture before the next one, in tiles (``tiles``).
Each channel's mean and variance over the whole picture are gathered on the way; the
next layer's tiles are normalized with them when they are read.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from nstjax.feedforward.inference.tiles import Activation, Progress, Tiles, count_tiles
from nstjax.feedforward.networks import networks
from nstjax.feedforward.networks.adain import (
    CodeStyle,
    adaptive_instance_normalization,
    make_encoder,
)
from nstjax.feedforward.networks.normalization import Moments
from nstjax.network.vgg import Params, Pool

CODE_PIXELS = 8
# relu4_1 sees 68 pixels: 30 on each side of the 8 that a position stands for.
ENCODER_HALO = 32
# The decoder's convolutions see 1 + 4/2 + 2/4 + 2/8 positions on each side, and its
# bilinear interpolations 1/2 + 1/4 + 1/8.
DECODER_HALO = 5


def restyle_in_tiles(
    network: networks.TransformNet,
    image: np.ndarray,
    style: np.ndarray,
    *,
    tile: int = 1024,
    progress: Progress | None = None,
) -> np.ndarray:
    """What ``network`` makes of a picture, computed in tiles.

    4·(C_1 + C_2/4) bytes are kept for each pixel of the picture, with the channels C
    of the first two layers. Batch normalization uses its running statistics.

    The image is sRGB in 0..1, [height, width, 3], and the result may leave that range;
    the style has weights, [styles]. About ``tile``² pixels are computed at once;
    ``progress`` is called with how many tiles are done, and of how many.
    """
    height, width, _ = image.shape
    architecture = network.architecture
    networks.check_sides(height, width, architecture)
    weights = networks.check_style(jnp.asarray(style)[None], 1, architecture.styles)
    convolutions = 2 * len(architecture.channels) + 1
    passes = convolutions + 3 * architecture.residual_blocks
    tiles = Tiles(count_tiles(height, width, tile), passes, progress)
    for borders in network.reflections(height, width):
        image = np.pad(image, borders, mode="reflect")

    def apply(
        layer: networks.NormalizedConvolution, activation: Activation, rectify: bool
    ) -> Activation:
        # Padding spoils (size - 1)/2 of the output; a stride is 2 at most. Bilinear
        # interpolation spoils one more, of an output twice as large.
        halo = layer.convolution.kernel.shape[0] - 1
        convolve = Partial(networks.NormalizedConvolution.convolve, layer)
        values, moments = tiles.compute(convolve, activation, halo=halo, multiple=2)
        finish = _rectified if rectify else networks.NormalizedConvolution.normalize
        statistics = {"style": weights, "moments": moments}
        return Activation(values, Partial(finish, layer, **statistics))

    def add(change: Activation, activation: Activation) -> Activation:
        border = (len(activation.values) - len(change.values)) // 2
        inner = [slice(border, side - border) for side in activation.values.shape[:2]]
        kept = activation._replace(values=activation.values[*inner])
        return Activation(tiles.compute(Partial(jnp.add), change, kept)[0])

    units = Activation(image, Partial(_in_network_units, network))
    activation = network.compute(units, apply, add)
    to_picture = Partial(networks.TransformNet.to_picture, network)
    return tiles.compute(to_picture, activation)[0][:height, :width]


def restyle_code_in_tiles(
    decoder: networks.AdaINDecoder,
    params: Params,
    image: np.ndarray,
    style: CodeStyle,
    *,
    strength: float = 1.0,
    pool: Pool,
    tile: int = 1024,
    progress: Progress | None = None,
) -> np.ndarray:
    """A picture in the style of any painting, computed as in ``restyle_in_tiles``.

    α·t + (1 - α)·c is decoded, with the picture's code c and the t of
    ``nstjax.feedforward.networks.adain.adaptive_instance_normalization``; α is the
    strength, and the style mean and deviation of the painting's code, [channels] each.
    """
    height, width, _ = image.shape
    networks.check_sides(height, width, decoder.architecture)
    tiles = Tiles(count_tiles(height, width, tile), 2, progress)
    encode = Partial(_encoder(pool), params)
    code, content = tiles.compute(
        encode, Activation(image), halo=ENCODER_HALO, multiple=CODE_PIXELS
    )
    mean, deviation = (jnp.asarray(part)[None] for part in style)
    decode = Partial(decode_restyled, decoder, (mean, deviation), strength, content)
    result, _ = tiles.compute(decode, Activation(code), halo=DECODER_HALO)
    return result[:height, :width]


def _in_network_units(network: networks.TransformNet, image: Array) -> Array:
    return networks.to_network_units(image, network.architecture.pixels)


def _rectified(
    layer: networks.NormalizedConvolution, values: Array, **normalized: Any
) -> Array:
    return jax.nn.relu(layer.normalize(values, **normalized))


@functools.cache
def _encoder(pool: Pool) -> Callable[[Params, Array], Array]:
    return lambda params, image: make_encoder(params, pool)(image)


def decode_restyled(
    decoder: networks.AdaINDecoder,
    style: CodeStyle,
    strength: ArrayLike,
    moments: Moments | None,
    code: Array,
) -> Array:
    """α·t + (1 - α)·c decoded, see ``restyle_code_in_tiles``."""
    target = adaptive_instance_normalization(code, style, moments)
    strength = jnp.asarray(strength)
    return decoder(strength * target + (1 - strength) * code)
