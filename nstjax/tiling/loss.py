"""The total loss and its gradient, tile by tile, exactly.

What the loss reads of an image are sums S over the positions of its layers, so that
the tiles' sums add up to the image's:

    first pass:   S = Σ_t S_t(x)      loss = L(S) + tv·TV(x),  λ = ∂L/∂S
    second pass:  ∂loss/∂x = tv·∂TV/∂x + Σ_t (∂S_t/∂x)ᵀ λ

Each S_t is computed from a window that holds all that its tile's core sees
(``nstjax.tiling.plan``), so that the whole image's activations are never there at once.
Moments and covariances take another pass before these, for the means that they are
about; normalized gradients one between them, for the norm of each layer's gradient.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.losses.gradient_normalization import normalizing_scale
from nstjax.losses.objective import Kept, seen_image
from nstjax.losses.terms import Use, loss_of_readings, strengths_of, style_keys
from nstjax.losses.total import LossTerms, Targets, Weights
from nstjax.losses.total_variation import total_variation
from nstjax.network.vgg import Params
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.statistics.style_losses import StyleForm
from nstjax.tiling.plan import Window
from nstjax.tiling.style_sums import draw_positions
from nstjax.tiling.sums import (
    ByUse,
    Known,
    TiledForm,
    activations_of,
    described,
    gather_sums,
    over,
    plan_for,
    read_use,
    sizes_of,
    style_uses,
    sums_of,
)
from nstjax.tiling.windows import corner, cut

OWN = ("content_normalization", "tv_form", "normalize_gradients")
LossAndGradient = tuple[tuple[Array, LossTerms], Array]


def tiled_loss(tile: int, **structure: Any) -> Callable[..., LossAndGradient]:
    """Loss and gradient of ``nstjax.losses.objective.loss_function``, by tiles.

    Args:
      tile: see ``nstjax.tiling.plan.plan_tiles``.
      **structure: keyword arguments of ``nstjax.total_loss``.

    Returns:
      (image, step, *data) -> ((loss, LossTerms), ∂loss/∂image), a function of Python:
      each tile is dispatched, and done, before the next.
    """
    style = {name: structure.pop(name) for name in StyleForm._fields}
    own = {name: structure.pop(name) for name in OWN}
    form = TiledForm(StyleForm(**style), tuple(sorted(structure.items())), **own)

    def loss_and_gradient(
        image: Array,
        step: Array,
        params: Params,
        targets: Targets,
        weights: Weights,
        key: Array,
        kept: Kept | None,
    ) -> LossAndGradient:
        image, key, drawn = _begin(image, step, targets, key, kept, form=form)
        known = Known(image, params, targets, drawn, {})
        plan = plan_for(known, tile)
        known, sums = gather_sums(known, plan, form)
        total, slopes, gradient = _finish(sums, known, weights, key, form=form)
        static = {"size": plan.size, "form": form}
        if form.normalize_gradients:
            norms = {use: jnp.zeros((), image.dtype) for use in slopes}
            norms = over(plan, _add_norms, norms, known, slopes, **static)
            slopes = _normalized(slopes, norms, targets, weights)
        gradient = over(plan, _add_gradient, gradient, known, slopes, **static)
        return total, gradient if kept is None else kept.mask * gradient

    return loss_and_gradient


@functools.partial(jax.jit, static_argnames="form")
def _begin(
    image: Array,
    step: Array,
    targets: Targets,
    key: Array,
    kept: Kept | None,
    form: TiledForm,
) -> tuple[Array, Array, dict[Use, Array | None]]:
    """What the loss sees, this step's key, and the positions that are drawn."""
    key = jax.random.fold_in(key, step)
    sizes = sizes_of(targets, image, form)
    drawn = {
        use: draw_positions(form.style, sizes[use[1]], guide, style_keys(key, use)[0])
        for use, guide in style_uses(targets).items()
    }
    return seen_image(image, kept), key, drawn


@functools.partial(jax.jit, static_argnames="form")
def _finish(
    sums: ByUse, known: Known, weights: Weights, key: Array, form: TiledForm
) -> tuple[tuple[Array, LossTerms], dict[Use, Any], Array]:
    """The loss and its terms, and its slopes along the sums and the image itself."""

    def loss_of(sums: ByUse, image: Array) -> tuple[Array, LossTerms]:
        return loss_of_readings(
            described(known, sums, form),
            total_variation(image, form.tv_form),
            sizes_of(known.targets, image, form),
            known.targets,
            weights,
            form.style,
            form.content_normalization,
            key,
        )

    total, (slopes, gradient) = jax.value_and_grad(loss_of, (0, 1), has_aux=True)(
        sums, known.image
    )
    return total, slopes, gradient


@functools.partial(
    memory_saving_jit, static_argnames=("size", "form"), donate_argnums=0
)
def _add_norms(
    norms: ByUse,
    known: Known,
    slopes: ByUse,
    window: Window,
    size: tuple[int, int],
    form: TiledForm,
) -> dict[Use, Array]:
    """Σ |∂loss/∂F|, for each use of a layer on its own."""
    pixels = cut(known.image, window, size)
    activations, parts = activations_of(pixels, known, window, form)

    def norm(use: Use) -> Array:
        layer = use[1]
        read = functools.partial(
            read_use, use, part=parts[layer], known=known, form=form
        )
        (gradient,) = jax.vjp(read, activations[layer])[1](slopes[use])
        return jnp.abs(gradient).sum()

    return {use: total + norm(use) for use, total in norms.items()}


@jax.jit
def _normalized(
    slopes: ByUse, norms: ByUse, targets: Targets, weights: Weights
) -> dict[Use, Any]:
    strengths = strengths_of(targets, weights)
    scales = {use: normalizing_scale(norms[use], strengths[use]) for use in norms}
    return {
        use: jax.tree.map(functools.partial(jnp.multiply, scales[use]), slope)
        for use, slope in slopes.items()
    }


@functools.partial(
    memory_saving_jit, static_argnames=("size", "form"), donate_argnums=0
)
def _add_gradient(
    gradient: Array,
    known: Known,
    slopes: ByUse,
    window: Window,
    size: tuple[int, int],
    form: TiledForm,
) -> Array:
    read = functools.partial(sums_of, known=known, window=window, form=form)
    (own,) = jax.vjp(read, cut(known.image, window, size))[1](slopes)
    summed = cut(gradient, window, size) + own
    return jax.lax.dynamic_update_slice(gradient, summed, corner(window))
