"""Sums over an image's positions, gathered tile by tile.

What the loss reads of an image are sums over the positions of its layers, so that
those of the tiles add up to those of the image. Each tile's are computed from a window
that holds all that the tile's core sees (``nstjax.tiling.plan``): the activations of
the whole image are never there at once.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TileContext:
    """What a pass takes beside its window.

    Attributes:
      image: that the loss sees, [height, width, 3].
      params: the network.
      targets: of the loss.
      options: what the loss is.
      tile: see ``nstjax.tiling.plan.plan_tiles``.
      drawn: {term: positions of the layer, row by row} of a sampled style statistic.
      centers: {term: mean [channels]} of a centered one, once it is gathered.
    """

    image: Array
    params: Params
    targets: Targets
    options: LossOptions = dataclasses.field(metadata={"static": True})
    tile: int = dataclasses.field(metadata={"static": True})
    drawn: ByTerm = dataclasses.field(default_factory=dict)
    centers: ByTerm = dataclasses.field(default_factory=dict)

    @property
    def plan(self) -> TilePlan:
        """The windows that the deepest layer of the targets asks for."""
        height, width, _ = self.image.shape
        return plan_tiles(height, width, layers_of(self.targets)[-1], self.tile)

    def pixels(self, window: Window) -> Array:
        """A window of the image."""
        return cut(self.image, window, self.plan.size)


def draw_positions(
    context: TileContext, keys: Callable[[LossTerm], Array]
) -> dict[LossTerm, Array]:
    """``TileContext.drawn`` with the key of each term."""
    statistic = style_statistic(context.options.style.style_loss)
    if not statistic.sampled:
        return {}
    drawn = {}
    for term, guide in style_terms_of(context.targets).items():
        height, width = _side_lengths(term.layer, context)
        positions = statistic.draw((height, width), guide, keys(term))
        drawn[term] = jnp.arange(height * width) if positions is None else positions
    return drawn


def gather_sums(context: TileContext) -> tuple[TileContext, dict[LossTerm, Any]]:
    """The sums of each term, and the context with the centers where there are some.

    One pass over the image, or two: the first for the centers.
    """

    def gathered(read: Callable[..., Tree], context: TileContext) -> Tree:
        zeros = _zeros(context, context.plan.windows[0], read=read)
        return over(context.plan, _add_sums, zeros, context, read=read)

    if style_statistic(context.options.style.style_loss).centered:
        means = _means(gathered(_window_means, context), context)
        context = dataclasses.replace(context, centers=means)
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


@functools.partial(jax.jit, static_argnames="read")
def _zeros(context: TileContext, window: Window, read: Callable[..., Tree]) -> Tree:
    """What a pass over no windows gives."""
    shapes = jax.eval_shape(read, context, window)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@functools.partial(memory_saving_jit, static_argnames="read", donate_argnums=0)
def _add_sums(
    total: Tree, context: TileContext, window: Window, read: Callable[..., Tree]
) -> Tree:
    return jax.tree.map(jnp.add, total, read(context, window))


def _window_means(context: TileContext, window: Window) -> dict[LossTerm, Array]:
    activations, tiles = tiles_of(context.pixels(window), context, window)
    return {
        term: channel_sums(activations[term.layer], _weights(tiles[term.layer], guide))
        for term, guide in style_terms_of(context.targets).items()
    }


def _window_sums(context: TileContext, window: Window) -> dict[LossTerm, Any]:
    return sums_of(context.pixels(window), context, window)


@jax.jit
def _means(sums: ByTerm, context: TileContext) -> dict[LossTerm, Array]:
    sizes = sizes_of(context)
    return {term: value / sizes[term.layer].positions for term, value in sums.items()}


def finished(context: TileContext, sums: ByTerm) -> dict[LossTerm, Any]:
    """Content sums and style statistics, from the sums of the whole image."""
    statistic = style_statistic(context.options.style.style_loss)
    return {
        term: value
        if term.kind == "content"
        else statistic.finish(value, _statistic_context(term, context))
        for term, value in sums.items()
    }


def sums_of(pixels: Array, context: TileContext, window: Window) -> dict[LossTerm, Any]:
    """What a window adds to the sums."""
    activations, tiles = tiles_of(pixels, context, window)
    return {
        term: read_term(term, activations[term.layer], tiles[term.layer], context)
        for term in terms_of(context.targets)
    }


def read_term(
    term: LossTerm, activation: Array, tile: LayerTile, context: TileContext
) -> Any:
    """What a tile adds to the sums of one term."""
    if term.kind == "content":
        core = tile.core[:, :, None]
        target = tile.of(context.targets.content[term.layer])
        return content_sums(core * activation, core * target)
    guide = _weights(tile, style_terms_of(context.targets)[term])
    own = _statistic_context(term, context)._replace(guide=guide)
    if term in context.drawn:
        index, inside = tile.find(context.drawn[term])
        own = own._replace(drawn=index, inside=inside)
    statistic = style_statistic(context.options.style.style_loss)
    return statistic.gather(activation, own)


def tiles_of(
    pixels: Array, context: TileContext, window: Window
) -> tuple[dict[str, Array], dict[str, LayerTile]]:
    """See ``nstjax.tiling.windows.tile_features``."""
    return tile_features(
        context.params,
        pixels,
        window,
        context.image.shape[:2],
        layers_of(context.targets),
        context.options.network,
    )


def sizes_of(context: TileContext) -> dict[str, LayerSize]:
    """The size of each layer of the whole image."""
    return {
        layer: LayerSize(
            math.prod(_side_lengths(layer, context)), layer_channels(layer)
        )
        for layer in layers_of(context.targets)
    }


def _side_lengths(layer: str, context: TileContext) -> tuple[int, int]:
    """(height, width) of a layer of the whole image."""
    padding = context.options.network.pool_padding
    height, width, _ = context.image.shape
    return layer_size(height, layer, padding), layer_size(width, layer, padding)


def _statistic_context(term: LossTerm, context: TileContext) -> StatisticContext:
    size, center = sizes_of(context)[term.layer], context.centers.get(term)
    return StatisticContext(size, context.options.style, center=center)


def _weights(tile: LayerTile, guide: Array | None) -> Array:
    """T in the tile's core, 0 outside it."""
    return tile.core if guide is None else tile.core * tile.of(guide)
