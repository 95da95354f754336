"""From pictures, params and a preset to what ``nstjax.run`` drives."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from nstjax.errors import InputError
from nstjax.images.resizing import resize
from nstjax.losses.objective import StylizeMask, TransferData
from nstjax.losses.terms import Weights
from nstjax.network.vgg import Params, preprocess
from nstjax.optimization.optimizers import OPTIMIZERS, with_learning_rate
from nstjax.optimization.sharding import (
    place_state,
    place_targets,
    replicate,
    split_rows,
)
from nstjax.optimization.steps import CompiledSteps, check_finite, to_host
from nstjax.optimization.transfer import TransferInfo, TransferState
from nstjax.presets.preset import Preset
from nstjax.presets.settings import deepest_layer, learning_rate_of
from nstjax.problem.compiled_transfer import compiled_transfer
from nstjax.problem.initial_image import check_init_size, handed_on, initial_image
from nstjax.problem.preprocessing import (
    Original,
    check_styles,
    content_in_color,
    fit,
    fit_styles,
    style_in_color,
)
from nstjax.problem.pyramid import Scale, content_share, plan_scales, resample_moments
from nstjax.problem.targets import Controls, make_targets
from nstjax.runtime.processes import to_numpy
from nstjax.tiling.plan import needs_tiles, plan_tiles

NO_CONTROLS = Controls()


class Problem(NamedTuple):
    """One scale of a transfer, ready to run.

    Attributes:
      steps: the compiled steps; shared by all problems of the same structure.
      state: where the run starts.
      data: what the loss takes beside the image.
      original: what the result is finished with.
      scales: the scales of the run, small to large; without a pyramid, one.
      scale_index: which of them this is.
      inputs: what the problems of all scales are made of.
    """

    steps: CompiledSteps
    state: TransferState
    data: TransferData
    original: Original
    scales: tuple[Scale, ...]
    scale_index: int
    inputs: "_Inputs"

    @property
    def scale(self) -> Scale:
        """The scale that this problem is about."""
        return self.scales[self.scale_index]

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.scales[-1].last_step

    def next_scale(self, state: TransferState) -> "Problem | None":
        """The problem that follows this one, from its last state; None at the end."""
        if self.scale_index + 1 == len(self.scales):
            return None
        return self.at_scale(self.scale_index + 1, state)

    def at_scale(self, index: int, previous: TransferState | None) -> "Problem":
        """The problem of a scale, given the last state of the one before, or None."""
        return _problem_at(self.inputs, index, previous)


def prepare(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    params: Params,
    preset: Preset,
    *,
    seed: int = 0,
    init_image: np.ndarray | None = None,
    controls: Controls = NO_CONTROLS,
    mesh: Mesh | None = None,
    tile: int | None = None,
) -> Problem:
    """Resize the pictures, compute the targets and the initial image.

    Args:
      content: the photo, sRGB in 0..1, shape [height, width, 3].
      styles: the paintings, each in sRGB 0..1, any size.
      params: the network.
      preset: from ``nstjax.customize``.
      seed: of the noise and of the sampled style losses.
      init_image: where to start in place of the preset's init: of the photo's size or
        of the size it is resized to.
      controls: regions, masks and the paintings' shares.
      mesh: over whose devices the image is split, see ``nstjax.optimization.sharding``.
      tile: pixels on a side that are computed at a time, a multiple of 16 (32 for
        pool5), where a picture has more; see ``nstjax.tiling.loss``. None: all at once.

    Returns:
      The problem of the first scale at its first step; the later ones follow from it.

    Raises:
      InputError: sizes, or numbers of weights, that do not fit, or an optimizer that
        cannot go by tiles.
    """
    if not styles:
        raise InputError("no style image: give at least one")
    content_size = (content.shape[0], content.shape[1])
    scales = plan_scales(content_size, preset)
    names = [f"style image {number}" for number in range(1, len(styles) + 1)]
    check_styles(styles, names, scales, preset)
    _check_tile(tile, preset)
    if mesh is not None and tile is not None:
        raise InputError("tile and mesh do not go together: leave out one of them")
    if init_image is not None:
        check_init_size(init_image, content_size, scales[-1])
    inputs = _Inputs(
        content=content,
        styles=styles,
        params=replicate(params, mesh),
        preset=preset,
        keys=_Keys(*jax.random.split(jax.random.key(seed), 3)),
        init_image=init_image,
        controls=controls,
        mesh=mesh,
        tile=tile,
        scales=scales,
    )
    return _problem_at(inputs, 0, None)


class _Keys(NamedTuple):
    """A key for each purpose."""

    noise: Array
    paintings: Array
    steps: Array


class _Inputs(NamedTuple):
    """What ``prepare`` is given, checked."""

    content: np.ndarray
    styles: Sequence[np.ndarray]
    params: Params
    preset: Preset
    keys: _Keys
    init_image: np.ndarray | None
    controls: Controls
    mesh: Mesh | None
    tile: int | None
    scales: tuple[Scale, ...]


def _problem_at(inputs: _Inputs, index: int, previous: TransferState | None) -> Problem:
    preset, mesh, scale = inputs.preset, inputs.mesh, inputs.scales[index]
    size = (scale.height, scale.width)
    photo = fit(inputs.content, *size, preset)
    content_image = preprocess(content_in_color(photo, preset))
    mask = inputs.controls.stylize_mask
    if mask is not None:
        mask = resize(mask, *size, "box")

    if previous is None:
        image = initial_image(
            preset,
            content_image,
            photo,
            inputs.styles[0],
            inputs.init_image,
            inputs.keys.noise,
        )
    else:
        image = handed_on(previous, size, preset)
    tiled = needs_tiles(*size, deepest_layer(preset), inputs.tile)
    init, steps = compiled_transfer(
        preset.loss, preset.optimizer, mesh, inputs.tile if tiled else None
    )
    state = _starting_state(init(split_rows(image, mesh)), previous, scale, preset)
    return Problem(
        steps,
        place_state(state, mesh),
        _data(inputs, scale, photo, content_image, mask),
        Original(photo, mask, inputs.content.shape[:2]),
        inputs.scales,
        index,
        inputs,
    )


def _data(
    inputs: _Inputs,
    scale: Scale,
    photo: np.ndarray,
    content_image: Array,
    mask: np.ndarray | None,
) -> TransferData:
    """What the loss takes beside the image."""
    preset, mesh = inputs.preset, inputs.mesh
    style_images = [
        preprocess(style_in_color(fitted, photo, preset))
        for fitted in fit_styles(inputs.styles, scale, inputs.scales[-1], preset)
    ]
    targets = make_targets(
        inputs.params,
        split_rows(content_image, mesh),
        split_rows(style_images, mesh),
        preset,
        inputs.controls,
        inputs.keys.paintings,
        inputs.tile,
    )
    weights = make_weights(preset)
    share = content_share(preset, scale, len(inputs.scales))
    stylize_mask = None
    if mask is not None:
        stylize_mask = StylizeMask(jnp.asarray(mask[:, :, None]), content_image)
    return TransferData(
        inputs.params,
        place_targets(targets, mesh),
        replicate(weights._replace(content=weights.content * share), mesh),
        inputs.keys.steps,
        split_rows(stylize_mask, mesh),
    )


def evaluate(
    problem: Problem, state: TransferState
) -> tuple[TransferState, TransferInfo]:
    """Losses of the last image, by one more step whose update nobody uses.

    The compiled step serves again; ``state`` is donated. The returned state's
    ``best_image`` takes the last image into account.
    """
    step = int(state.step)
    state, rows = problem.steps.advance(state, 1, *problem.data)
    info = to_host(rows, 1)
    check_finite(info, step, state)
    return state, info


def make_weights(preset: Preset) -> Weights:
    """The preset's weights as float32 scalars."""

    def by_layer(layers: Sequence[str], weights: Sequence[float]) -> dict[str, Array]:
        return {
            layer: jnp.float32(weight)
            for layer, weight in zip(layers, weights, strict=True)
        }

    return Weights(
        content=jnp.float32(preset.alpha),
        style=jnp.float32(preset.beta),
        tv=jnp.float32(preset.tv),
        content_layers=by_layer(preset.content_layers, preset.content_layer_weights),
        style_layers=by_layer(preset.style_layers, preset.style_layer_weights),
    )


def _starting_state(
    state: TransferState, previous: TransferState | None, scale: Scale, preset: Preset
) -> TransferState:
    opt_state = state.opt_state
    if (
        previous is not None
        and preset.optimizer.name == "adam"
        and preset.pyramid.moments == "resample"
    ):
        before = jax.tree.map(to_numpy, previous.opt_state)
        opt_state = resample_moments(opt_state, before)
    return state._replace(
        opt_state=with_learning_rate(opt_state, learning_rate_of(preset)),
        step=jnp.int32(scale.first_step),
    )


def _check_tile(tile: int | None, preset: Preset) -> None:
    """Raise ``InputError`` unless a run of the preset can go by such tiles."""
    if tile is None:
        return
    name = preset.optimizer.name
    if OPTIMIZERS[name].evaluations > 1:
        raise InputError(
            f"optimizer={name} evaluates the loss within a step, which tiles cannot: "
            "choose optimizer=lbfgs or adam, or a smaller size"
        )
    plan_tiles(1, 1, deepest_layer(preset), tile)
