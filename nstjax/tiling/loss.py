"""The total loss and its gradient, tile by tile, exactly.

What the loss reads of an image are sums S over the positions of its layers, so that
the tiles' sums add up to the image's:

    first pass:   S = Σ_t S_t(x)      loss = L(S) + tv·TV(x),  λ = ∂L/∂S
    second pass:  ∂loss/∂x = tv·∂TV/∂x + Σ_t (∂S_t/∂x)ᵀ λ

Each S_t is computed from a window that holds all that its tile's core sees
(``nstjax.tiling.plan``), so that the whole image's activations are never there at once.
Moments and covariances take another pass before these, for the means about which they
are taken; normalized gradients one between them, for the norm of each layer's gradient.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.gradient_normalization import normalizing_scale
from nstjax.losses.objective import StylizeMask, TransferData, seen_image
from nstjax.losses.terms import (
    LossTerm,
    LossTerms,
    Targets,
    Weights,
    term_keys,
    term_weight,
)
from nstjax.losses.total import LossOptions, loss_of_statistics
from nstjax.losses.total_variation import total_variation
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.tiling.plan import Window
from nstjax.tiling.sums import (
    ByTerm,
    TileContext,
    draw_positions,
    finished,
    gather_sums,
    over,
    read_term,
    sizes_of,
    sums_of,
    tiles_of,
)
from nstjax.tiling.windows import corner, cut

LossAndGradient = tuple[tuple[Array, LossTerms], Array]


def tiled_loss(tile: int, options: LossOptions) -> Callable[..., LossAndGradient]:
    """Loss and gradient of ``nstjax.losses.objective.loss_function``, by tiles.

    Args:
      tile: see ``nstjax.tiling.plan.plan_tiles``.
      options: what the loss is.

    Returns:
      (image, step, *data) -> ((loss, LossTerms), ∂loss/∂image), a function of Python:
      each tile is dispatched, and done, before the next.
    """

    def loss_and_gradient(image: Array, step: Array, *fields: Any) -> LossAndGradient:
        params, targets, weights, key, stylize_mask = TransferData(*fields)
        context = TileContext(image, params, targets, options, tile)
        image, key, drawn = _begin(context, step, key, stylize_mask)
        context = dataclasses.replace(context, image=image, drawn=drawn)
        context, sums = gather_sums(context)
        total, slopes, gradient = _finish(sums, context, weights, key)
        if options.normalize_gradients:
            norms = {term: jnp.zeros((), image.dtype) for term in slopes}
            norms = over(context.plan, _add_norms, norms, context, slopes)
            slopes = _normalized(slopes, norms, targets, weights)
        gradient = over(context.plan, _add_gradient, gradient, context, slopes)
        return total, gradient if stylize_mask is None else stylize_mask.mask * gradient

    return loss_and_gradient


@jax.jit
def _begin(
    context: TileContext, step: Array, key: Array, stylize_mask: StylizeMask | None
) -> tuple[Array, Array, dict[LossTerm, Array]]:
    """What the loss sees, this step's key, and the positions that are drawn."""
    key = jax.random.fold_in(key, step)
    drawn = draw_positions(context, lambda term: term_keys(key, term)[0])
    return seen_image(context.image, stylize_mask), key, drawn


@jax.jit
def _finish(
    sums: ByTerm, context: TileContext, weights: Weights, key: Array
) -> tuple[tuple[Array, LossTerms], dict[LossTerm, Any], Array]:
    """The loss and its terms, and its slopes along the sums and the image itself."""

    def loss_of(sums: ByTerm, image: Array) -> tuple[Array, LossTerms]:
        return loss_of_statistics(
            finished(context, sums),
            total_variation(image, context.options.tv_form),
            sizes_of(context),
            context.targets,
            weights,
            context.options,
            key,
        )

    total, (slopes, gradient) = jax.value_and_grad(loss_of, (0, 1), has_aux=True)(
        sums, context.image
    )
    return total, slopes, gradient


@functools.partial(memory_saving_jit, donate_argnums=0)
def _add_norms(
    norms: ByTerm, context: TileContext, slopes: ByTerm, window: Window
) -> dict[LossTerm, Array]:
    """Σ |∂loss/∂F|, for each term of a layer on its own."""
    activations, tiles = tiles_of(context.pixels(window), context, window)

    def norm(term: LossTerm) -> Array:
        read = functools.partial(
            read_term, term, tile=tiles[term.layer], context=context
        )
        (gradient,) = jax.vjp(read, activations[term.layer])[1](slopes[term])
        return jnp.abs(gradient).sum()

    return {term: total + norm(term) for term, total in norms.items()}


@jax.jit
def _normalized(
    slopes: ByTerm, norms: ByTerm, targets: Targets, weights: Weights
) -> dict[LossTerm, Any]:
    scales = {
        term: normalizing_scale(norm, term_weight(term, targets, weights))
        for term, norm in norms.items()
    }
    return {
        term: jax.tree.map(functools.partial(jnp.multiply, scales[term]), slope)
        for term, slope in slopes.items()
    }


@functools.partial(memory_saving_jit, donate_argnums=0)
def _add_gradient(
    gradient: Array, context: TileContext, slopes: ByTerm, window: Window
) -> Array:
    read = functools.partial(sums_of, context=context, window=window)
    (own,) = jax.vjp(read, context.pixels(window))[1](slopes)
    summed = cut(gradient, window, context.plan.size) + own
    return jax.lax.dynamic_update_slice(gradient, summed, corner(window))
