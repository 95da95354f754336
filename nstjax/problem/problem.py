"""From pictures, params and a preset to what ``nstjax.run`` drives."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.images.resizing import resize
from nstjax.losses.objective import Kept, TransferData, loss_function
from nstjax.losses.total import Weights
from nstjax.network.vgg import MEAN_RGB, Params, deprocess, preprocess
from nstjax.optimization.optimizers import make_optimizer, with_learning_rate
from nstjax.optimization.sharding import (
    place_state,
    place_targets,
    replicate,
    shard_loss,
    shard_transfer,
    split_rows,
)
from nstjax.optimization.steps import (
    CompiledSteps,
    check_finite,
    compile_steps,
    steps_of_gradient,
    to_host,
)
from nstjax.optimization.transfer import (
    StyleTransfer,
    TransferInfo,
    TransferState,
    style_transfer,
)
from nstjax.presets.preset import INITS, Preset, deepest_layer, loss_structure
from nstjax.problem.initial_image import blend_noise, sample_noise
from nstjax.problem.preprocessing import (
    Original,
    check_styles,
    content_in_color,
    fit,
    fit_styles,
    style_in_color,
)
from nstjax.problem.pyramid import (
    Scale,
    content_share,
    plan_scales,
    resample_image,
    resample_moments,
    shown_image,
)
from nstjax.problem.targets import Controls, make_targets
from nstjax.runtime.processes import to_numpy
from nstjax.tiling.loss import tiled_loss
from nstjax.tiling.plan import needs_tiles, plan_tiles

NO_CONTROLS = Controls()
# What of a transfer's structure is not its loss's.
UPDATE = ("optimizer", "lbfgs_num_correction", "adam_betas", "clamp", "average_decay")


class Problem(NamedTuple):
    """One scale of a transfer, ready to run.

    Attributes:
      steps: the compiled steps; shared by all problems of the same structure.
      state: where the run starts.
      data: what the loss takes beside the image.
      original: what the result is finished with.
      scales: the scales of the run, small to large; without a pyramid, one.
      scale_index: which of them this is.
      at_scale: (index, state of the scale before or None) -> that scale's problem.
    """

    steps: CompiledSteps
    state: TransferState
    data: TransferData
    original: Original
    scales: tuple[Scale, ...]
    scale_index: int
    at_scale: Callable[[int, TransferState | None], "Problem"]

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
        _check_init_size(init_image, content_size, scales[-1])
    key = jax.random.key(seed)
    params = replicate(params, mesh)

    def at_scale(index: int, previous: TransferState | None) -> Problem:
        scale = scales[index]
        size = (scale.height, scale.width)
        photo = fit(content, *size, preset)
        content_image = preprocess(content_in_color(photo, preset))
        style_images = [
            preprocess(style_in_color(fitted, photo, preset))
            for fitted in fit_styles(styles, scale, scales[-1], preset)
        ]
        targets = make_targets(
            params,
            split_rows(content_image, mesh),
            split_rows(style_images, mesh),
            preset,
            controls,
            key,
            tile,
        )
        if previous is not None:
            image = _handed_on(previous, size, preset)
        elif init_image is not None:
            image = preprocess(
                content_in_color(resize(init_image, *size, preset.resample), preset)
            )
        elif preset.init == "style":
            image = preprocess(
                style_in_color(fit(styles[0], *size, preset), photo, preset)
            )
        elif preset.init == "content":
            image = content_image
        else:
            image = _from_noise(content_image, preset, key)

        transfer_init, steps = _compiled_transfer(
            mesh,
            tile if needs_tiles(*size, deepest_layer(preset), tile) else None,
            **_transfer_structure(preset),
        )
        state = transfer_init(split_rows(image, mesh))
        state = place_state(_starting_state(state, previous, scale, preset), mesh)
        weights = make_weights(preset)
        share = content_share(preset, scale, len(scales))
        mask = controls.stylize_mask
        if mask is not None:
            mask = resize(mask, *size, "box")
        data = TransferData(
            params,
            place_targets(targets, mesh),
            replicate(weights._replace(content=weights.content * share), mesh),
            key,
            kept=None
            if mask is None
            else split_rows(Kept(jnp.asarray(mask[:, :, None]), content_image), mesh),
        )
        original = Original(photo, mask, content_size)
        return Problem(steps, state, data, original, scales, index, at_scale)

    return at_scale(0, None)


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


def make_transfer(preset: Preset, mesh: Mesh | None = None) -> StyleTransfer:
    """The preset's optimization over the image, not compiled: to ``vmap``, say.

    Its step takes the fields of ``TransferData`` after the state.
    """
    return _transfer(mesh=mesh, **_transfer_structure(preset))


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


def _handed_on(previous: TransferState, size: tuple[int, int], preset: Preset) -> Array:
    shown = to_numpy(shown_image(previous, preset.keep))
    image = resample_image(jnp.asarray(shown), *size)
    if preset.color == "luminance" and preset.color_when == "before":
        grey = deprocess(image).mean(2, keepdims=True)
        image = preprocess(jnp.repeat(grey, 3, axis=2))
    return _to_displayable(image) if preset.clamp else image


def _starting_state(
    state: TransferState, previous: TransferState | None, scale: Scale, preset: Preset
) -> TransferState:
    opt_state = state.opt_state
    if (
        previous is not None
        and preset.optimizer == "adam"
        and preset.pyramid_moments == "resample"
    ):
        before = jax.tree.map(to_numpy, previous.opt_state)
        opt_state = resample_moments(opt_state, before)
    rate = preset.learning_rate or preset.learning_rates[preset.optimizer]
    return state._replace(
        opt_state=with_learning_rate(opt_state, rate),
        step=jnp.int32(scale.first_step),
    )


def _from_noise(content_image: Array, preset: Preset, key: Array) -> Array:
    ratios = {"noise": 1.0, "blend": preset.noise_ratio}
    if preset.init not in ratios:
        raise InputError(
            f"init is {preset.init!r}: give {', '.join(INITS)}, or read that image and "
            "pass it as init_image"
        )
    noise = sample_noise(key, content_image.shape, preset.noise, preset.noise_scale)
    return blend_noise(content_image, noise, ratios[preset.init])


def _check_init_size(
    init_image: np.ndarray, content_size: tuple[int, int], scale: Scale
) -> None:
    if init_image.shape[:2] not in (content_size, (scale.height, scale.width)):
        raise InputError(
            f"the init image has {init_image.shape[1]}x{init_image.shape[0]} pixels, "
            f"the content image {content_size[1]}x{content_size[0]} "
            f"(resized to {scale.width}x{scale.height}): give one of either size"
        )


def _to_displayable(image: Array) -> Array:
    mean = MEAN_RGB[None, None, :]
    return jnp.clip(image, -mean, 255.0 - mean)


@functools.lru_cache
def _compiled_transfer(
    mesh: Mesh | None, tile: int | None, **structure: Any
) -> tuple[Callable[[ArrayLike], TransferState], CompiledSteps]:
    """One compilation for each structure, whatever the pictures and the numbers."""
    transfer = _transfer(**structure, mesh=mesh)
    if tile is None:
        return jax.jit(transfer.init), compile_steps(transfer)
    loss = {name: structure[name] for name in structure if name not in UPDATE}
    return jax.jit(transfer.init), steps_of_gradient(
        tiled_loss(tile, **loss), transfer.update
    )


def _transfer(
    optimizer: str,
    lbfgs_num_correction: int,
    adam_betas: tuple[float, float],
    clamp: bool,
    average_decay: float | None,
    mesh: Mesh | None,
    **structure: Any,
) -> StyleTransfer:
    loss_fn = loss_function(**structure)
    transfer = style_transfer(
        loss_fn if mesh is None else shard_loss(loss_fn, mesh),
        make_optimizer(optimizer, lbfgs_num_correction, adam_betas),
        project=_to_displayable if clamp else None,
        average_decay=average_decay,
        pass_step=True,
    )
    return transfer if mesh is None else shard_transfer(transfer, mesh)


def _transfer_structure(preset: Preset) -> dict[str, Any]:
    return {
        "optimizer": preset.optimizer,
        "lbfgs_num_correction": preset.lbfgs_num_correction,
        "adam_betas": preset.adam_betas,
        "clamp": preset.clamp,
        "average_decay": preset.average_decay if preset.keep == "average" else None,
        **loss_structure(preset),
    }


def _check_tile(tile: int | None, preset: Preset) -> None:
    """Raise ``InputError`` unless a run of the preset can go by such tiles."""
    if tile is None:
        return
    if preset.optimizer == "lbfgs-linesearch":
        raise InputError(
            "optimizer=lbfgs-linesearch evaluates the loss within a step, which tiles "
            "cannot: choose optimizer=lbfgs or adam, or a smaller size"
        )
    plan_tiles(1, 1, deepest_layer(preset), tile)
