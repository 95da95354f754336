"""Targets of pictures that are larger than memory, tile by tile, exactly.

The activations' tiles are put together, the styles' sums are added up
(``nstjax.tiling.sums``).
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.terms import LossTerm, Region, Targets
from nstjax.losses.total import LossOptions
from nstjax.network.architecture import LAYERS
from nstjax.network.vgg import NetworkOptions, Params, activations_of
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.tiling.plan import Window, plan_tiles
from nstjax.tiling.sums import (
    TileContext,
    draw_positions,
    finished,
    gather_sums,
    over,
)
from nstjax.tiling.windows import LayerTile, cut, tile_features


def features_by_tiles(
    params: Params,
    image: Array,
    layers: tuple[str, ...],
    network: NetworkOptions,
    tile: int,
) -> dict[str, Array]:
    """What ``nstjax.features`` gives, without its temporaries."""
    height, width, _ = image.shape
    plan = plan_tiles(height, width, max(layers, key=LAYERS.index), tile)
    static = {"layers": layers, "network": network}
    total = _empty(params, image, **static)
    return over(plan, _put, total, params, image, size=plan.size, **static)


def describe_painting_by_tiles(
    params: Params,
    image: Array,
    layers: tuple[str, ...],
    options: LossOptions,
    guides: Mapping[str, Array] | None,
    key: Array,
    tile: int,
) -> dict[str, object]:
    """What ``nstjax.losses.total.describe_painting`` gives."""
    style = dict.fromkeys(
        layer for layer in layers if guides is None or layer in guides
    )
    # The painting is read as an image would be, with targets that hold nothing.
    region = Region(dict(guides or {}), style, jnp.ones(()))
    targets = Targets({}, {}, (region,))

    def key_of(term: LossTerm) -> Array:
        return jax.random.fold_in(key, LAYERS.index(term.layer))

    context = TileContext(image, params, targets, options, tile)
    drawn = draw_positions(context, key_of)
    context, sums = gather_sums(dataclasses.replace(context, drawn=drawn))
    return {term.layer: value for term, value in finished(context, sums).items()}


@functools.partial(jax.jit, static_argnames=("layers", "network"))
def _empty(
    params: Params, image: Array, layers: tuple[str, ...], network: NetworkOptions
) -> dict[str, Array]:
    shapes = jax.eval_shape(
        lambda image: activations_of(params, image, layers, network), image
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@functools.partial(
    memory_saving_jit, static_argnames=("layers", "network", "size"), donate_argnums=0
)
def _put(
    total: dict[str, Array],
    params: Params,
    image: Array,
    window: Window,
    layers: tuple[str, ...],
    network: NetworkOptions,
    size: tuple[int, int],
) -> dict[str, Array]:
    """Write a window's core into the activations of the whole image."""
    pixels, whole = cut(image, window, size), image.shape[:2]
    activations, tiles = tile_features(params, pixels, window, whole, layers, network)

    def written(layer: str, tile: LayerTile) -> Array:
        core = jnp.where(
            tile.core[:, :, None] > 0, activations[layer], tile.of(total[layer])
        )
        start = (*tile.start, jnp.int32(0))
        return jax.lax.dynamic_update_slice(total[layer], core, start)

    return {layer: written(layer, tile) for layer, tile in tiles.items()}
