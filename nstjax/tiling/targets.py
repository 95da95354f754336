"""Targets of pictures that are larger than memory, tile by tile, exactly.

The activations' tiles are put together, the styles' sums are added up
(``nstjax.tiling.sums``).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.total import Region, Targets
from nstjax.network.vgg import LAYERS, Params, features
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.statistics.style_losses import StyleForm
from nstjax.tiling.plan import Window, plan_tiles
from nstjax.tiling.style_sums import draw_positions
from nstjax.tiling.sums import (
    Known,
    TiledForm,
    described,
    gather_sums,
    over,
    plan_for,
    sizes_of,
    style_uses,
)
from nstjax.tiling.windows import Part, cut, tile_features


def features_by_tiles(
    params: Params, image: Array, layers: Sequence[str], tile: int, **network: Any
) -> dict[str, Array]:
    """What ``nstjax.features`` gives, without its temporaries.

    Args:
      params: the network.
      image: in its units, shape [height, width, 3].
      layers: which.
      tile: see ``nstjax.tiling.plan.plan_tiles``.
      **network: keyword arguments of ``nstjax.features``.
    """
    layers = tuple(layers)
    height, width, _ = image.shape
    plan = plan_tiles(height, width, max(layers, key=LAYERS.index), tile)
    static = {"layers": layers, "network": tuple(network.items())}
    total = _empty(params, image, **static)
    return over(plan, _put, total, params, image, size=plan.size, **static)


def style_statistics_by_tiles(
    params: Params,
    image: Array,
    layers: Sequence[str],
    tile: int,
    *,
    guides: Mapping[str, Array] | None,
    key: Array,
    style_loss: Any,
    gram_normalization: Any,
    **network: Any,
) -> dict[str, Any]:
    """What ``nstjax.style_statistics`` gives.

    Args:
      params: the network.
      image: in its units, shape [height, width, 3].
      layers: which.
      tile: see ``nstjax.tiling.plan.plan_tiles``.
      guides: as there, like the rest.
      key: likewise.
      style_loss: likewise.
      gram_normalization: likewise.
      **network: keyword arguments of ``nstjax.features``.
    """
    style = dict.fromkeys(
        layer for layer in layers if guides is None or layer in guides
    )
    # The painting is read as an image would be, with targets that hold nothing.
    targets = Targets({}, style)
    if guides is not None:
        targets = Targets({}, {}, (Region(dict(guides), style, jnp.ones(())),))
    style_form = StyleForm(style_loss, gram_normalization)
    form = TiledForm(style_form, tuple(network.items()))
    sizes = sizes_of(targets, image, form)
    keys = {layer: jax.random.fold_in(key, LAYERS.index(layer)) for layer in style}
    drawn = {
        (number, layer): draw_positions(form.style, sizes[layer], guide, keys[layer])
        for (number, layer), guide in style_uses(targets).items()
    }
    known = Known(image, params, targets, drawn, {})
    known, sums = gather_sums(known, plan_for(known, tile), form)
    descriptions = described(known, sums, form)
    return {layer: value for (_, layer), value in descriptions.items()}


@functools.partial(jax.jit, static_argnames=("layers", "network"))
def _empty(
    params: Params,
    image: Array,
    layers: tuple[str, ...],
    network: tuple[tuple[str, Any], ...],
) -> dict[str, Array]:
    shapes = jax.eval_shape(lambda: features(params, image, layers, **dict(network)))
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
    network: tuple[tuple[str, Any], ...],
    size: tuple[int, int],
) -> dict[str, Array]:
    """Write a window's core into the activations of the whole image."""
    pixels, whole = cut(image, window, size), image.shape[:2]
    activations, parts = tile_features(
        params, pixels, window, whole, layers, dict(network)
    )

    def written(layer: str, part: Part) -> Array:
        core = jnp.where(
            part.core[:, :, None] > 0, activations[layer], part.of(total[layer])
        )
        start = (*part.start, jnp.int32(0))
        return jax.lax.dynamic_update_slice(total[layer], core, start)

    return {layer: written(layer, part) for layer, part in parts.items()}
