"""The total loss and its gradient, tile by tile, exactly.

What the loss reads of an image are sums S over the positions of its layers, so that
the tiles' sums add up to the image's:

    first pass:   S = Σ_t S_t(x)      loss = L(S) + tv·TV(x),  λ = ∂L/∂S
    second pass:  ∂loss/∂x = tv·∂TV/∂x + Σ_t (∂S_t/∂x)ᵀ λ

Each S_t is computed from a window that holds all that its tile's core sees
(``nstjax.tile_plan``), so that the whole image's activations are never there at once.
Moments and covariances take another pass before these, for the means that they are
about; normalized gradients one between them, for the norm of each layer's gradient.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.gradient_normalization import normalizing_scale
from nstjax.losses import LossTerms, Targets, Weights
from nstjax.readings import (
    CONTENT,
    ContentNormalization,
    Use,
    content_sums,
    layers_of,
    loss_of_readings,
    strengths_of,
    style_keys,
    uses_of,
)
from nstjax.style_losses import StyleForm
from nstjax.style_sums import (
    CENTERED,
    Frame,
    describe_sums,
    draw_positions,
    style_sums,
    weighted_sum,
)
from nstjax.tile_features import Part, corner, cut, tile_features
from nstjax.tile_plan import TilePlan, Window, layer_size, plan_tiles
from nstjax.total_variation import TotalVariationForm, total_variation
from nstjax.vgg import Params, layer_channels

if TYPE_CHECKING:
    from nstjax.problem import Kept

Tree = TypeVar("Tree")
ByUse = Mapping[Use, Any]
LossAndGradient = tuple[tuple[Array, LossTerms], Array]


class TiledForm(NamedTuple):
    """The structure of a loss, see ``nstjax.losses.total_loss``.

    Attributes:
      style: the style loss.
      content_normalization: as there, like the rest.
      tv_form: likewise.
      normalize_gradients: likewise.
      network: the remaining keyword arguments, which are those of
        ``nstjax.vgg.features``, as pairs.
    """

    style: StyleForm
    content_normalization: ContentNormalization
    tv_form: TotalVariationForm
    normalize_gradients: bool
    network: tuple[tuple[str, Any], ...]


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


def tiled_loss(tile: int, **structure: Any) -> Callable[..., LossAndGradient]:
    """Loss and gradient of ``nstjax.problem.loss_function``, by tiles.

    Args:
      tile: see ``nstjax.tile_plan.plan_tiles``.
      **structure: keyword arguments of ``nstjax.losses.total_loss``.

    Returns:
      (image, step, *data) -> ((loss, LossTerms), ∂loss/∂image), a function of Python:
      each tile is dispatched, and done, before the next.
    """
    names = ("style_loss", "gram_normalization", "style_normalization")
    style = StyleForm(*(structure.pop(name) for name in names))
    names = ("content_normalization", "tv_form", "normalize_gradients")
    others = [structure.pop(name) for name in names]
    form = TiledForm(style, *others, tuple(sorted(structure.items())))

    def loss_and_gradient(
        image: Array,
        step: Array,
        params: Params,
        targets: Targets,
        weights: Weights,
        key: Array,
        kept: "Kept | None",
    ) -> LossAndGradient:
        height, width, _ = image.shape
        plan = plan_tiles(height, width, layers_of(targets)[-1], tile)
        image, key, drawn = _begin(image, step, targets, key, kept, form=form)
        known = Known(image, params, targets, drawn, {})
        static = {"size": plan.size, "form": form}
        if style.style_loss in CENTERED:
            sums = _zeros(known, plan.windows[0], read=_window_means, **static)
            sums = over(plan, _add_sums, sums, known, read=_window_means, **static)
            known = known._replace(centers=_means(sums, known, form=form))
        sums = _zeros(known, plan.windows[0], read=_window_sums, **static)
        sums = over(plan, _add_sums, sums, known, read=_window_sums, **static)
        total, slopes, gradient = _finish(sums, known, weights, key, form=form)
        if form.normalize_gradients:
            norms = {use: jnp.zeros((), image.dtype) for use in slopes}
            norms = over(plan, _add_norms, norms, known, slopes, **static)
            slopes = _normalized(slopes, norms, targets, weights)
        gradient = over(plan, _add_gradient, gradient, known, slopes, **static)
        return total, gradient if kept is None else kept.mask * gradient

    return loss_and_gradient


def over(
    plan: TilePlan, add: Callable[..., Tree], total: Tree, *known: Any, **static: Any
) -> Tree:
    """Add all windows to ``total``; the next one begins when the last has ended."""
    for window in plan.windows:
        total = jax.block_until_ready(add(total, *known, window, **static))
    return total


@functools.partial(jax.jit, static_argnames="form")
def _begin(
    image: Array,
    step: Array,
    targets: Targets,
    key: Array,
    kept: "Kept | None",
    form: TiledForm,
) -> tuple[Array, Array, dict[Use, Array | None]]:
    """What the loss sees, this step's key, and the positions that are drawn."""
    key = jax.random.fold_in(key, step)
    sizes = _sizes(targets, image, form)
    drawn = {
        use: draw_positions(form.style, sizes[use[1]], guide, style_keys(key, use)[0])
        for use, guide in _style_uses(targets).items()
    }
    if kept is not None:
        image = kept.mask * image + (1.0 - kept.mask) * kept.photo
    return image, key, drawn


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


@functools.partial(jax.jit, static_argnames=("read", "size", "form"), donate_argnums=0)
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
    activations, parts = _activations(pixels, known, window, form)
    return {
        (number, layer): weighted_sum(activations[layer], parts[layer], Frame(guide))
        for (number, layer), guide in _style_uses(known.targets).items()
    }


def _window_sums(
    known: Known, window: Window, size: tuple[int, int], form: TiledForm
) -> dict[Use, Any]:
    return _sums_of(cut(known.image, window, size), known, window, form)


@functools.partial(jax.jit, static_argnames="form")
def _means(sums: ByUse, known: Known, form: TiledForm) -> dict[Use, Array]:
    sizes = _sizes(known.targets, known.image, form)
    return {use: value / math.prod(sizes[use[1]]) for use, value in sums.items()}


@functools.partial(jax.jit, static_argnames="form")
def _finish(
    sums: ByUse, known: Known, weights: Weights, key: Array, form: TiledForm
) -> tuple[tuple[Array, LossTerms], dict[Use, Any], Array]:
    """The loss and its terms, and its slopes along the sums and the image itself."""
    sizes = _sizes(known.targets, known.image, form)

    def described(use: Use, value: Any) -> Any:
        number, layer = use
        if number == CONTENT:
            return value
        positions, channels = math.prod(sizes[layer]), layer_channels(layer)
        return describe_sums(value, _frame(known, use), form.style, positions, channels)

    def loss_of(sums: ByUse, image: Array) -> tuple[Array, LossTerms]:
        return loss_of_readings(
            {use: described(use, value) for use, value in sums.items()},
            total_variation(image, form.tv_form),
            sizes,
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


@functools.partial(jax.jit, static_argnames=("size", "form"), donate_argnums=0)
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
    activations, parts = _activations(pixels, known, window, form)

    def norm(use: Use) -> Array:
        layer = use[1]
        read = functools.partial(_read, use, part=parts[layer], known=known, form=form)
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


@functools.partial(jax.jit, static_argnames=("size", "form"), donate_argnums=0)
def _add_gradient(
    gradient: Array,
    known: Known,
    slopes: ByUse,
    window: Window,
    size: tuple[int, int],
    form: TiledForm,
) -> Array:
    read = functools.partial(_sums_of, known=known, window=window, form=form)
    (own,) = jax.vjp(read, cut(known.image, window, size))[1](slopes)
    summed = cut(gradient, window, size) + own
    return jax.lax.dynamic_update_slice(gradient, summed, corner(window))


def _sums_of(
    pixels: Array, known: Known, window: Window, form: TiledForm
) -> dict[Use, Any]:
    """What a window adds to the sums."""
    activations, parts = _activations(pixels, known, window, form)
    return {
        use: _read(use, activations[use[1]], parts[use[1]], known, form)
        for use in uses_of(known.targets)
    }


def _read(
    use: Use, activation: Array, part: Part, known: Known, form: TiledForm
) -> Any:
    number, layer = use
    if number == CONTENT:
        core = part.core[:, :, None]
        target = part.of(known.targets.content[layer])
        return content_sums(core * activation, core * target)
    return style_sums(activation, part, _frame(known, use), form.style)


def _activations(
    pixels: Array, known: Known, window: Window, form: TiledForm
) -> tuple[dict[str, Array], dict[str, Part]]:
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


def _style_uses(targets: Targets) -> dict[Use, Array | None]:
    return {use: guide for use, guide in uses_of(targets).items() if use[0] != CONTENT}


def _sizes(targets: Targets, image: Array, form: TiledForm) -> dict[str, Any]:
    """{layer: (height, width)} of the whole image."""
    padding = dict(form.network)["pool_padding"]
    return {
        layer: tuple(layer_size(side, layer, padding) for side in image.shape[:2])
        for layer in layers_of(targets)
    }
