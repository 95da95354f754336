"""Restyling by learned descent: a few steps of a network, whole or in tiles."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from nstjax.feedforward.inference.tiles import Activation, Progress, Tiles, count_tiles
from nstjax.feedforward.networks import descent
from nstjax.feedforward.networks.descent import DescentNet, Grams, PaintingStyle
from nstjax.losses.objective import TransferData
from nstjax.losses.terms import Targets
from nstjax.network.vgg import Params, Pool, preprocess
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.tiling.loss import tiled_loss
from nstjax.tiling.plan import stride


def descend(
    network: DescentNet,
    params: Params,
    photos: ArrayLike,
    style: PaintingStyle,
    *,
    pool: Pool,
    detail: float = 1.0,
    tile: int = 0,
    progress: Progress | None = None,
) -> Array:
    """Photos in a style: the steps of a network, from the smallest scale to full size.

    Args:
      network: trained learned descent.
      params: its encoder.
      photos: sRGB in 0..1, [batch, height, width, 3], of sides that the architecture's
        ``multiple`` divides.
      style: of one painting, from ``describe_painting``.
      pool: of the encoder.
      detail: share of the photo's fine detail that is put back at each enlargement.
      tile: compute a single photo in tiles of about so many pixels on a side, so that
        it need not fit into memory; 0 for as a whole.
      progress: of tiles, see ``nstjax.feedforward.inference.tiles.Tiles``.

    Returns:
      Pictures of the photos' shape, not cut off at 0 and 1.
    """
    architecture = network.architecture
    by_scale, image = _begin(photos, style, len(architecture.steps))
    schedule = architecture.schedule
    counts = [
        count_tiles(photo.shape[1], photo.shape[2], tile or 2**20) for photo in by_scale
    ]
    total = sum(rows * columns for rows, columns in map(counts.__getitem__, schedule))
    done, split = 0, nnx.split(network)

    def advance(image: Array, scale: int) -> Array:
        nonlocal done
        photo, grams = by_scale[scale], style.grams[scale]
        if not tile:
            return _step(*split, params, image, photo, grams, pool)
        before = done

        def report(count: int, _: int) -> None:
            if progress:
                progress(before + count, total)

        tiles = Tiles(counts[scale], 1, report)
        image = _step_in_tiles(network, params, image, photo, grams, pool, tile, tiles)
        done += tiles.done
        return image

    def enlarge(image: Array, photo: Array, larger: Array) -> Array:
        return _enlarge(image, photo, larger, detail)

    *_, last = descent.take_steps(schedule, by_scale, image, advance, enlarge)
    return last


@functools.partial(memory_saving_jit, static_argnames=("pool", "scales"))
def describe_painting(
    params: Params, painting: ArrayLike, pool: Pool, scales: int
) -> PaintingStyle:
    """The style of one painting, sRGB in 0..1, [height, width, 3]."""
    paintings = jnp.asarray(painting)[None]
    style = descent.describe_style(params, pool, paintings, scales)
    one: PaintingStyle = jax.tree.map(lambda leaf: leaf[0], style)
    return one


@functools.partial(memory_saving_jit, static_argnames="scales")
def _begin(
    photos: ArrayLike, style: PaintingStyle, scales: int
) -> tuple[list[Array], Array]:
    by_scale = descent.pyramid(jnp.asarray(photos), scales)
    matched = style._replace(mean=style.mean[None], deviation=style.deviation[None])
    return by_scale, descent.first_image(by_scale[0], matched)


@memory_saving_jit
def _enlarge(image: Array, photo: Array, larger: Array, detail: ArrayLike) -> Array:
    return descent.enlarged_image(image, photo, larger, detail)


@functools.partial(memory_saving_jit, static_argnames=("graph", "pool"))
def _step(
    graph: Any,
    state: nnx.State,
    params: Params,
    images: Array,
    photos: Array,
    grams: Grams,
    pool: Pool,
) -> Array:
    each: Any = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (len(images), *leaf.shape)), grams
    )
    gradients = descent.normalized_gradient(params, pool, images, each)
    network: DescentNet = nnx.merge(graph, state)
    return network(images, photos, gradients)


def _step_in_tiles(
    network: DescentNet,
    params: Params,
    image: Array,
    photo: Array,
    grams: Grams,
    pool: Pool,
    tile: int,
    tiles: Tiles,
) -> Array:
    targets, weights = Targets({}, dict(grams)), descent.style_weights()
    data = TransferData(params, targets, weights, jax.random.key(0), None)
    loss = tiled_loss(_tile_side(tile), descent.style_loss_options(pool))
    (distance, _), gradient = loss(preprocess(image[0]), jnp.int32(0), *data)
    gradient = jax.jit(descent.normalized)(distance, gradient)
    shown = [Activation(np.asarray(each)) for each in (image[0], photo[0], gradient)]
    architecture = network.architecture
    halo, multiple = architecture.halo, architecture.stride
    step = Partial(DescentNet.__call__, network)
    result, _ = tiles.compute(step, *shown, halo=halo, multiple=multiple)
    return jnp.asarray(result)[None]


def _tile_side(tile: int) -> int:
    """Of the loss's tiles, a multiple of the stride of its deepest layer."""
    multiple = stride(list(descent.STYLE_LAYERS)[-1])
    return max(multiple, tile // multiple * multiple)
