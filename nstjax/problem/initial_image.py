"""Where the optimization starts."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.images.resizing import resize
from nstjax.network.vgg import deprocess, preprocess
from nstjax.optimization.transfer import TransferState
from nstjax.presets.preset import INITS, Noise, Preset
from nstjax.problem.compiled_transfer import to_displayable
from nstjax.problem.preprocessing import content_in_color, fit, style_in_color
from nstjax.problem.pyramid import Scale, resample_image, shown_image
from nstjax.runtime.processes import to_numpy


def sample_noise(
    key: Array, shape: tuple[int, ...], noise: Noise, scale: float
) -> Array:
    """Noise in the network's units (0..255 minus the mean).

    normal: scale · N(0, 1). uniform: U(-scale, scale). integers: uniform over the whole
    numbers -scale … scale, both ends included (MATLAB's ``randi``).

    Args:
      key: from ``jax.random.key``.
      shape: [height, width, 3].
      noise: one of the names above.
      scale: standard deviation or half range.

    Returns:
      float32 array of that shape.
    """
    if noise == "normal":
        return scale * jax.random.normal(key, shape, jnp.float32)
    if noise == "uniform":
        return jax.random.uniform(key, shape, jnp.float32, minval=-scale, maxval=scale)
    integers = jax.random.randint(key, shape, -int(scale), int(scale) + 1)
    return integers.astype(jnp.float32)


def blend_noise(image: ArrayLike, noise: ArrayLike, noise_ratio: float) -> Array:
    """x₀ = r · noise + (1 - r) · image, in the network's units.

    Args:
      image: usually the photo, shape [height, width, 3].
      noise: from ``sample_noise``, same shape.
      noise_ratio: r, in 0..1.

    Returns:
      Shape [height, width, 3].

    Source:
      The Coursera course (r = 0.6) and MATLAB's example (r = 0.7).
    """
    return noise_ratio * jnp.asarray(noise) + (1 - noise_ratio) * jnp.asarray(image)


def initial_image(
    preset: Preset,
    content_image: Array,
    photo: np.ndarray,
    style: np.ndarray,
    init_image: np.ndarray | None,
    key: Array,
) -> Array:
    """The image that a run starts from, in the network's units.

    Args:
      preset: whose ``init`` holds where there is no ``init_image``.
      content_image: the photo in the network's units, [height, width, 3].
      photo: the same in sRGB.
      style: the first painting in sRGB, of any size.
      init_image: where to start, in sRGB.
      key: of the noise.

    Raises:
      InputError: ``init`` is a path or "fast", whose image is not given.
    """
    height, width, _ = photo.shape
    init = preset.image.init
    if init_image is not None:
        resized = resize(init_image, height, width, preset.image.resample)
        return preprocess(content_in_color(resized, preset))
    if init == "style":
        fitted = fit(style, height, width, preset)
        return preprocess(style_in_color(fitted, photo, preset))
    if init == "content":
        return content_image
    ratios = {"noise": 1.0, "blend": preset.image.noise_ratio}
    if init not in ratios:
        raise InputError(
            f"init is {init!r}: read or make that image and pass it as init_image, or "
            f"give one of {', '.join(name for name in INITS if name != 'fast')}"
        )
    noise = sample_noise(
        key, content_image.shape, preset.image.noise, preset.image.noise_scale
    )
    return blend_noise(content_image, noise, ratios[init])


def handed_on(previous: TransferState, size: tuple[int, int], preset: Preset) -> Array:
    """What a pyramid's scale of that size starts from, after the one before it."""
    shown = to_numpy(shown_image(previous, preset.optimizer.keep))
    image = resample_image(jnp.asarray(shown), *size)
    if preset.image.color == "luminance" and preset.image.color_when == "before":
        grey = deprocess(image).mean(2, keepdims=True)
        image = preprocess(jnp.repeat(grey, 3, axis=2))
    return to_displayable(image) if preset.optimizer.clamp else image


def check_init_size(
    init_image: np.ndarray, content_size: tuple[int, int], scale: Scale
) -> None:
    """Raise ``InputError`` unless it has the photo's size, or what that becomes."""
    if init_image.shape[:2] not in (content_size, (scale.height, scale.width)):
        raise InputError(
            f"the init image has {init_image.shape[1]}x{init_image.shape[0]} pixels, "
            f"the content image {content_size[1]}x{content_size[0]} "
            f"(resized to {scale.width}x{scale.height}): give one of either size"
        )
