"""From pictures, params and a preset to something that ``transfer.run`` can drive."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.initial_image import blend_noise, sample_noise
from nstjax.losses import (
    LossTerms,
    Targets,
    Weights,
    blend_styles,
    style_grams,
    total_loss,
)
from nstjax.optimizers import make_optimizer, with_learning_rate
from nstjax.presets import INITS, Preset
from nstjax.sizes import Size, output_size, resize
from nstjax.transfer import (
    CompiledSteps,
    TransferInfo,
    TransferState,
    check_finite,
    compile_steps,
    style_transfer,
    to_host,
)
from nstjax.vgg import (
    LAYERS,
    MEAN_RGB,
    Params,
    check_size,
    deprocess,
    features,
    preprocess,
)


class Problem(NamedTuple):
    """One transfer, ready to run.

    Attributes:
      steps: the compiled steps; shared by all problems of the same structure.
      state: where the run starts.
      data: (params, Targets, Weights), what the loss takes beside the image.
      content_size: (height, width) of the photo as it came.
    """

    steps: CompiledSteps
    state: TransferState
    data: tuple[Params, Targets, Weights]
    content_size: tuple[int, int]


def prepare(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    params: Params,
    preset: Preset,
    *,
    seed: int = 0,
    style_blend_weights: Sequence[float] | None = None,
    init_image: np.ndarray | None = None,
) -> Problem:
    """Resize the pictures, compute the targets and the initial image.

    Args:
      content: the photo, sRGB in 0..1, shape [height, width, 3].
      styles: the paintings, each in sRGB 0..1, any size.
      params: the network.
      preset: from ``nstjax.presets.customize``.
      seed: of the noise.
      style_blend_weights: one for each painting; equal where not given.
      init_image: where to start in place of the preset's init: of the photo's size or
        of the size it is resized to.

    Returns:
      The problem at its first step.

    Raises:
      InputError: sizes, or numbers of weights, that do not fit.
    """
    blend_weights = check_blend_weights(style_blend_weights, len(styles))
    content_size = (content.shape[0], content.shape[1])
    height, width = output_size(*content_size, preset.size)
    deepest = max((*preset.content_layers, *preset.style_layers), key=LAYERS.index)
    check_size(height, width, deepest, preset.pool_padding)

    content_image = _network_image(content, height, width, preset)
    grams = []
    for style in styles:
        style_height, style_width = _style_size(style, (height, width), preset)
        check_size(style_height, style_width, deepest, preset.pool_padding)
        grams.append(
            _style_grams(
                params,
                _network_image(style, style_height, style_width, preset),
                preset.style_layers,
                pool=preset.pool,
                pool_padding=preset.pool_padding,
                gram_normalization=preset.gram_normalization,
            )
        )
    targets = Targets(
        content=_features(
            params,
            content_image,
            preset.content_layers,
            pool=preset.pool,
            pool_padding=preset.pool_padding,
        ),
        # At most 1 each: float32 might not hold the sum of what was given.
        style=_blend_styles(grams, np.divide(blend_weights, max(blend_weights))),
    )

    if init_image is not None:
        _check_init_size(init_image, content_size, (height, width))
        image = preprocess(resize(init_image, height, width, preset.resample))
    elif preset.init == "style":
        image = _network_image(styles[0], height, width, preset)
    elif preset.init == "content":
        image = content_image
    else:
        image = _from_noise(content_image, preset, seed)

    transfer_init, steps = _compiled_transfer(
        preset.optimizer,
        preset.lbfgs_num_correction,
        preset.clamp,
        **loss_structure(preset),
    )
    state = transfer_init(image)
    state = state._replace(
        opt_state=with_learning_rate(
            state.opt_state,
            preset.learning_rate or preset.learning_rates[preset.optimizer],
        )
    )
    return Problem(steps, state, (params, targets, make_weights(preset)), content_size)


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


def loss_structure(preset: Preset) -> dict[str, Any]:
    """The keyword arguments that make ``nstjax.losses.total_loss`` the preset's."""
    names = (
        "pool",
        "pool_padding",
        "content_normalization",
        "gram_normalization",
        "style_normalization",
        "tv_form",
    )
    return {name: getattr(preset, name) for name in names}


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


def finish(
    image: np.ndarray, preset: Preset, content_size: tuple[int, int]
) -> np.ndarray:
    """The picture to show: sRGB in 0..1, at the size that the preset's rule says.

    Args:
      image: the iterate, in the network's units, shape [height, width, 3].
      preset: whose output rule holds.
      content_size: (height, width) of the photo as it came.

    Returns:
      float32, shape [height', width', 3].
    """
    picture = np.asarray(deprocess(image))
    if preset.resize_to_content:
        picture = resize(picture, *content_size, preset.resample)
    return picture


def stretch_contrast(image: np.ndarray) -> np.ndarray:
    """Scale an image so that its smallest value is 0 and its largest 1.

    Source:
      ``rescale(single(image), 0, 255)`` in MATLAB's example.
    """
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else image


def check_blend_weights(weights: Sequence[float] | None, count: int) -> list[float]:
    """One weight for each of ``count`` paintings, or ``InputError``."""
    if not count:
        raise InputError("no style image: give at least one")
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise InputError(
            f"style_blend_weights has {len(weights)} values for {count} style images: "
            "give one for each"
        )
    if not all(np.isfinite(weights)) or min(weights) < 0 or not sum(weights):
        raise InputError(
            "style_blend_weights must be finite numbers of 0 or more, not all 0, got "
            f"{list(weights)}"
        )
    return list(weights)


def _network_image(image: np.ndarray, height: int, width: int, preset: Preset) -> Array:
    resized = resize(image, height, width, preset.resample)
    return preprocess(stretch_contrast(resized) if preset.contrast_stretch else resized)


def _from_noise(content_image: Array, preset: Preset, seed: int) -> Array:
    ratios = {"noise": 1.0, "blend": preset.noise_ratio}
    if preset.init not in ratios:
        raise InputError(
            f"init is {preset.init!r}: give {', '.join(INITS)}, or read that image and "
            "pass it as init_image"
        )
    noise = sample_noise(
        jax.random.key(seed), content_image.shape, preset.noise, preset.noise_scale
    )
    return blend_noise(content_image, noise, ratios[preset.init])


def _style_size(
    style: np.ndarray, content_size: tuple[int, int], preset: Preset
) -> tuple[int, int]:
    if preset.style_size == "content":
        return content_size
    if preset.style_size == "content_width":
        rule = Size("width", content_size[1])
    elif preset.style_size is None and isinstance(preset.size.value, tuple):
        rule = Size("long", max(preset.size.value))
    else:
        rule = preset.style_size or preset.size
    return output_size(style.shape[0], style.shape[1], rule)


def _check_init_size(
    init_image: np.ndarray, content_size: tuple[int, int], size: tuple[int, int]
) -> None:
    if init_image.shape[:2] not in (content_size, size):
        raise InputError(
            f"the init image has {init_image.shape[1]}x{init_image.shape[0]} pixels, "
            f"the content image {content_size[1]}x{content_size[0]} "
            f"(resized to {size[1]}x{size[0]}): give one of either size"
        )


_features = jax.jit(
    features, static_argnums=2, static_argnames=("pool", "pool_padding")
)
_style_grams = jax.jit(
    style_grams,
    static_argnums=2,
    static_argnames=("pool", "pool_padding", "gram_normalization"),
)
_blend_styles = jax.jit(blend_styles)


@functools.lru_cache
def _compiled_transfer(
    optimizer: str, lbfgs_num_correction: int, clamp: bool, **structure: Any
) -> tuple[Callable[[ArrayLike], TransferState], CompiledSteps]:
    """One compilation for each structure, whatever the pictures and the numbers."""

    def loss_fn(
        image: Array, params: Params, targets: Targets, weights: Weights
    ) -> tuple[Array, LossTerms]:
        return total_loss(params, image, targets, weights, **structure)

    def to_displayable(image: Array) -> Array:
        mean = MEAN_RGB[None, None, :]
        return jnp.clip(image, -mean, 255.0 - mean)

    transfer = style_transfer(
        loss_fn,
        make_optimizer(optimizer, lbfgs_num_correction),
        project=to_displayable if clamp else None,
    )
    return jax.jit(transfer.init), compile_steps(transfer)
