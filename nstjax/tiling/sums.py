"""Sums over an image's positions, gathered tile by tile.

What the loss reads of an image are sums over the positions of its layers, so that
those of the tiles add up to those of the image. Each tile's are computed from a window
that holds all that the tile's core sees (``nstjax.tiling.plan``): the activations of
the whole image are never there at once.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.content import content_sums
from nstjax.losses.terms import LossTerm, Targets, layers_of, style_terms_of, terms_of
from nstjax.losses.total import LossOptions
from nstjax.network.architecture import layer_channels
from nstjax.network.vgg import Params
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.runtime.memory import give_back_freed_memory
from nstjax.statistics.normalization import LayerSize
from nstjax.statistics.statistic import StatisticContext, channel_sums
from nstjax.statistics.style import style_statistic
from nstjax.tiling.plan import TilePlan, Window, layer_size, plan_tiles
from nstjax.tiling.windows import LayerTile, cut, tile_features

Tree = TypeVar("Tree")
ByTerm = Mapping[LossTerm, Any]


class TileContext(NamedTuple):
    """What a pass takes beside its window.

    Attributes:
      image: that the loss sees, [height, width, 3].
      params: the network.
      targets: of the loss.
      drawn: {term: positions of the layer, row by row} of a sampled style statistic.
      centers: {term: mean [channels]} of a centered one, once it is gathered.
    """

    image: Array
    params: Params
    targets: Targets
    drawn: ByTerm
    centers: ByTerm


def draw_positions(
    targets: Targets,
    image: Array,
    options: LossOptions,
    keys: Callable[[LossTerm], Array],
) -> dict[LossTerm, Array]:
    """``TileContext.drawn`` with the key of each term."""
    statistic = style_statistic(options.style.style_loss)
    if not statistic.sampled:
        return {}
    drawn = {}
    for term, guide in style_terms_of(targets).items():
        height, width = side_lengths(term.layer, image, options)
        positions = statistic.draw((height, width), guide, keys(term))
        drawn[term] = jnp.arange(height * width) if positions is None else positions
    return drawn


def plan_for(context: TileContext, tile: int) -> TilePlan:
    """The windows that the deepest layer of the targets asks for."""
    height, width, _ = context.image.shape
    return plan_tiles(height, width, layers_of(context.targets)[-1], tile)


def gather_sums(
    context: TileContext, plan: TilePlan, options: LossOptions
) -> tuple[TileContext, dict[LossTerm, Any]]:
    """One pass over the image, or two: the first for the centers.

    Args:
      context: without the centers.
      plan: the image's windows.
      options: what the loss is.

    Returns:
      The context with the centers where there are some, and the sums of each term.
    """
    static = {"size": plan.size, "options": options}

    def gathered(read: Callable[..., Tree], context: TileContext) -> Tree:
        zeros = _zeros(context, plan.windows[0], read=read, **static)
        return over(plan, _add_sums, zeros, context, read=read, **static)

    if style_statistic(options.style.style_loss).centered:
        means = _means(gathered(_window_means, context), context, options=options)
        context = context._replace(centers=means)
    return context, gathered(_window_sums, context)


def over(
    plan: TilePlan, add: Callable[..., Tree], total: Tree, *fixed: Any, **static: Any
) -> Tree:
    """Add all windows to ``total``; the next one begins when the last has ended."""
    for window in plan.windows:
        total = jax.block_until_ready(add(total, *fixed, window, **static))
        # Small arrays that outlive a window would leave holes too small for the next.
        give_back_freed_memory()
    return total


@functools.partial(jax.jit, static_argnames=("read", "size", "options"))
def _zeros(
    context: TileContext,
    window: Window,
    read: Callable[..., Tree],
    size: tuple[int, int],
    options: LossOptions,
) -> Tree:
    """What a pass over no windows gives."""
    reading = functools.partial(read, size=size, options=options)
    shapes = jax.eval_shape(reading, context, window)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@functools.partial(
    memory_saving_jit, static_argnames=("read", "size", "options"), donate_argnums=0
)
def _add_sums(
    total: Tree,
    context: TileContext,
    window: Window,
    read: Callable[..., Tree],
    size: tuple[int, int],
    options: LossOptions,
) -> Tree:
    return jax.tree.map(
        jnp.add, total, read(context, window, size=size, options=options)
    )


def _window_means(
    context: TileContext, window: Window, size: tuple[int, int], options: LossOptions
) -> dict[LossTerm, Array]:
    pixels = cut(context.image, window, size)
    activations, tiles = tiles_of(pixels, context, window, options)
    return {
        term: channel_sums(activations[term.layer], _weights(tiles[term.layer], guide))
        for term, guide in style_terms_of(context.targets).items()
    }


def _window_sums(
    context: TileContext, window: Window, size: tuple[int, int], options: LossOptions
) -> dict[LossTerm, Any]:
    return sums_of(cut(context.image, window, size), context, window, options)


@functools.partial(jax.jit, static_argnames="options")
def _means(
    sums: ByTerm, context: TileContext, options: LossOptions
) -> dict[LossTerm, Array]:
    sizes = sizes_of(context.targets, context.image, options)
    return {term: value / sizes[term.layer].positions for term, value in sums.items()}


def finished(
    context: TileContext, sums: ByTerm, options: LossOptions
) -> dict[LossTerm, Any]:
    """Content sums and style statistics, from the sums of the whole image."""
    statistic = style_statistic(options.style.style_loss)
    sizes = sizes_of(context.targets, context.image, options)
    return {
        term: value
        if term.kind == "content"
        else statistic.finish(
            value,
            StatisticContext(center=context.centers.get(term)),
            sizes[term.layer],
            options.style,
        )
        for term, value in sums.items()
    }


def sums_of(
    pixels: Array, context: TileContext, window: Window, options: LossOptions
) -> dict[LossTerm, Any]:
    """What a window adds to the sums."""
    activations, tiles = tiles_of(pixels, context, window, options)
    return {
        term: read_term(
            term, activations[term.layer], tiles[term.layer], context, options
        )
        for term in terms_of(context.targets)
    }


def read_term(
    term: LossTerm,
    activation: Array,
    tile: LayerTile,
    context: TileContext,
    options: LossOptions,
) -> Any:
    """What a tile adds to the sums of one term."""
    if term.kind == "content":
        core = tile.core[:, :, None]
        target = tile.of(context.targets.content[term.layer])
        return content_sums(core * activation, core * target)
    guide = style_terms_of(context.targets)[term]
    own = StatisticContext(_weights(tile, guide), context.centers.get(term))
    if term in context.drawn:
        index, inside = tile.find(context.drawn[term])
        own = own._replace(drawn=index, inside=inside)
    statistic = style_statistic(options.style.style_loss)
    return statistic.gather(activation, own)


def tiles_of(
    pixels: Array, context: TileContext, window: Window, options: LossOptions
) -> tuple[dict[str, Array], dict[str, LayerTile]]:
    """See ``nstjax.tiling.windows.tile_features``."""
    return tile_features(
        context.params,
        pixels,
        window,
        context.image.shape[:2],
        layers_of(context.targets),
        options.network,
    )


def side_lengths(layer: str, image: Array, options: LossOptions) -> tuple[int, int]:
    """(height, width) of a layer of the whole image."""
    padding = options.network.pool_padding
    height, width = (layer_size(side, layer, padding) for side in image.shape[:2])
    return height, width


def sizes_of(
    targets: Targets, image: Array, options: LossOptions
) -> dict[str, LayerSize]:
    """The size of each layer of the whole image."""
    sizes = {}
    for layer in layers_of(targets):
        height, width = side_lengths(layer, image, options)
        sizes[layer] = LayerSize(height * width, layer_channels(layer))
    return sizes


def _weights(tile: LayerTile, guide: Array | None) -> Array:
    """T in the tile's core, 0 outside it."""
    return tile.core if guide is None else tile.core * tile.of(guide)
