"""Sums over an image's positions, gathered tile by tile.

What the loss reads of an image are sums over the positions of its layers, so that
those of the tiles add up to those of the image. Each tile's are computed from a window
that holds all that the tile's core sees (``nstjax.tiling.plan``): the activations of
the whole image are never there at once.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.terms import (
    CONTENT,
    ContentNormalization,
    Use,
    content_sums,
    layers_of,
    uses_of,
)
from nstjax.losses.total import Targets
from nstjax.losses.total_variation import TotalVariationForm
from nstjax.network.vgg import Params, layer_channels
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.runtime.memory import give_back_freed_memory
from nstjax.statistics.style_losses import StyleForm
from nstjax.tiling.plan import TilePlan, Window, layer_size, plan_tiles
from nstjax.tiling.style_sums import (
    CENTERED,
    Frame,
    describe_sums,
    style_sums,
    weighted_sum,
)
from nstjax.tiling.windows import Part, cut, tile_features

Tree = TypeVar("Tree")
ByUse = Mapping[Use, Any]


class TiledForm(NamedTuple):
    """The structure of a loss, see ``nstjax.total_loss``.

    Attributes:
      style: the style loss.
      network: keyword arguments of ``nstjax.features``, as pairs.
      content_normalization: as there, like the rest.
      tv_form: likewise.
      normalize_gradients: likewise.
    """

    style: StyleForm
    network: tuple[tuple[str, Any], ...]
    content_normalization: ContentNormalization = "half_sum"
    tv_form: TotalVariationForm = "squared"
    normalize_gradients: bool = False


class Known(NamedTuple):
    """What a pass takes beside its window.

    Attributes:
      image: that the loss sees, [height, width, 3].
      params: the network.
      targets: of the loss.
      drawn: {use: positions of a sampled style loss, or None}.
      centers: {use: mean of moments and covariances}, or nothing.
    """

    image: Array
    params: Params
    targets: Targets
    drawn: ByUse
    centers: ByUse


def plan_for(known: Known, tile: int) -> TilePlan:
    """The windows that the deepest layer of the targets asks for."""
    height, width, _ = known.image.shape
    return plan_tiles(height, width, layers_of(known.targets)[-1], tile)


def gather_sums(
    known: Known, plan: TilePlan, form: TiledForm
) -> tuple[Known, dict[Use, Any]]:
    """One pass over the image, or two: the first for the means.

    Args:
      known: without the centers.
      plan: the image's windows.
      form: the loss.

    Returns:
      ``known`` with the centers where there are some, and the sums of each use.
    """
    size = plan.size

    def gathered(read: Callable[..., Tree], known: Known) -> Tree:
        zeros = _zeros(known, plan.windows[0], read=read, size=size, form=form)
        return over(plan, _add_sums, zeros, known, read=read, size=size, form=form)

    if form.style.style_loss in CENTERED:
        means = _means(gathered(_window_means, known), known, form=form)
        known = known._replace(centers=means)
    return known, gathered(_window_sums, known)


def over(
    plan: TilePlan, add: Callable[..., Tree], total: Tree, *known: Any, **static: Any
) -> Tree:
    """Add all windows to ``total``; the next one begins when the last has ended."""
    for window in plan.windows:
        total = jax.block_until_ready(add(total, *known, window, **static))
        # Small arrays that outlive a window would leave holes too small for the next.
        give_back_freed_memory()
    return total


@functools.partial(jax.jit, static_argnames=("read", "size", "form"))
def _zeros(
    known: Known,
    window: Window,
    read: Callable[..., Tree],
    size: tuple[int, int],
    form: TiledForm,
) -> Tree:
    """What a pass over no windows gives."""
    shapes = jax.eval_shape(
        functools.partial(read, size=size, form=form), known, window
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


@functools.partial(
    memory_saving_jit, static_argnames=("read", "size", "form"), donate_argnums=0
)
def _add_sums(
    total: Tree,
    known: Known,
    window: Window,
    read: Callable[..., Tree],
    size: tuple[int, int],
    form: TiledForm,
) -> Tree:
    return jax.tree.map(jnp.add, total, read(known, window, size=size, form=form))


def _window_means(
    known: Known, window: Window, size: tuple[int, int], form: TiledForm
) -> dict[Use, Array]:
    pixels = cut(known.image, window, size)
    activations, parts = activations_of(pixels, known, window, form)
    return {
        (number, layer): weighted_sum(activations[layer], parts[layer], Frame(guide))
        for (number, layer), guide in style_uses(known.targets).items()
    }


def _window_sums(
    known: Known, window: Window, size: tuple[int, int], form: TiledForm
) -> dict[Use, Any]:
    return sums_of(cut(known.image, window, size), known, window, form)


@functools.partial(jax.jit, static_argnames="form")
def _means(sums: ByUse, known: Known, form: TiledForm) -> dict[Use, Array]:
    sizes = sizes_of(known.targets, known.image, form)
    return {use: value / math.prod(sizes[use[1]]) for use, value in sums.items()}


def described(known: Known, sums: ByUse, form: TiledForm) -> dict[Use, Any]:
    """What the loss of the readings takes, from the sums of the whole image."""
    sizes = sizes_of(known.targets, known.image, form)

    def reading(use: Use, value: Any) -> Any:
        number, layer = use
        if number == CONTENT:
            return value
        positions, channels = math.prod(sizes[layer]), layer_channels(layer)
        return describe_sums(value, _frame(known, use), form.style, positions, channels)

    return {use: reading(use, value) for use, value in sums.items()}


def sums_of(
    pixels: Array, known: Known, window: Window, form: TiledForm
) -> dict[Use, Any]:
    """What a window adds to the sums."""
    activations, parts = activations_of(pixels, known, window, form)
    return {
        use: read_use(use, activations[use[1]], parts[use[1]], known, form)
        for use in uses_of(known.targets)
    }


def read_use(
    use: Use, activation: Array, part: Part, known: Known, form: TiledForm
) -> Any:
    """What one use of a layer adds to its sums."""
    number, layer = use
    if number == CONTENT:
        core = part.core[:, :, None]
        target = part.of(known.targets.content[layer])
        return content_sums(core * activation, core * target)
    return style_sums(activation, part, _frame(known, use), form.style)


def activations_of(
    pixels: Array, known: Known, window: Window, form: TiledForm
) -> tuple[dict[str, Array], dict[str, Part]]:
    """See ``nstjax.tiling.windows.tile_features``."""
    return tile_features(
        known.params,
        pixels,
        window,
        known.image.shape[:2],
        layers_of(known.targets),
        dict(form.network),
    )


def _frame(known: Known, use: Use) -> Frame:
    guide = uses_of(known.targets)[use]
    return Frame(guide, known.drawn[use], known.centers.get(use))


def style_uses(targets: Targets) -> dict[Use, Array | None]:
    """``uses_of`` without the content's."""
    return {use: guide for use, guide in uses_of(targets).items() if use[0] != CONTENT}


def sizes_of(targets: Targets, image: Array, form: TiledForm) -> dict[str, Any]:
    """{layer: (height, width)} of the whole image."""
    padding = dict(form.network)["pool_padding"]
    return {
        layer: tuple(layer_size(side, layer, padding) for side in image.shape[:2])
        for layer in layers_of(targets)
    }
