"""What is done to the pictures before a transfer, and to its result after."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array

from nstjax.errors import InputError
from nstjax.images.resizing import Size, UsedSize, output_size, resize
from nstjax.network.architecture import least_side
from nstjax.network.vgg import deprocess
from nstjax.presets.preset import Preset
from nstjax.presets.settings import deepest_layer
from nstjax.problem.pyramid import Scale


class Original(NamedTuple):
    """What a result is finished with.

    Attributes:
      photo: in its own colors, of the result's size, sRGB in 0..1.
      stylize_mask: where the result shows, [height, width] in 0..1; None: everywhere.
      size: (height, width) of the photo as it came.
    """

    photo: np.ndarray
    stylize_mask: np.ndarray | None
    size: tuple[int, int]


def content_size(preset: Preset) -> UsedSize | None:
    """How large of its own size a photo is used, for ``nstjax.read_image``."""
    if preset.image.resize_to_content:
        return None
    return lambda height, width: output_size(height, width, preset.image.size)


def painting_size(content: np.ndarray, preset: Preset) -> UsedSize:
    """The same for paintings, beside a photo [height, width, 3]."""
    height, width = output_size(content.shape[0], content.shape[1], preset.image.size)
    scale = Scale(height, width, 0, 0)
    return lambda height, width: _style_size(height, width, scale, scale, preset)


def fit(image: np.ndarray, height: int, width: int, preset: Preset) -> np.ndarray:
    """An input picture at the size that it is used at."""
    resized = resize(image, height, width, preset.image.resample)
    return stretch_contrast(resized) if preset.image.contrast_stretch else resized


def style_size(
    style: np.ndarray, scale: Scale, final: Scale, preset: Preset
) -> tuple[int, int]:
    """(height, width) of a painting at a scale of a run that ends at ``final``."""
    return _style_size(style.shape[0], style.shape[1], scale, final, preset)


def _style_size(
    own_height: int, own_width: int, scale: Scale, final: Scale, preset: Preset
) -> tuple[int, int]:
    rule = preset.image.style_size or preset.image.size
    if rule == "content":
        rule = Size("exact", (final.height, final.width))
    elif rule == "content_width":
        rule = Size("width", final.width)
    elif preset.image.style_size is None and isinstance(preset.image.size.value, tuple):
        rule = Size("long", max(preset.image.size.value))
    height, width = output_size(own_height, own_width, rule)
    ratio = preset.image.style_scale * scale.width / final.width
    if not preset.image.style_upscale:
        ratio = min(ratio, own_height / height, own_width / width)
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def fit_styles(
    styles: Sequence[np.ndarray], scale: Scale, final: Scale, preset: Preset
) -> list[np.ndarray]:
    """The paintings at the sizes that they are used at, see ``style_size``."""
    sizes = [style_size(style, scale, final, preset) for style in styles]
    return [
        fit(style, *size, preset) for style, size in zip(styles, sizes, strict=True)
    ]


def check_styles(
    styles: Sequence[np.ndarray],
    names: Sequence[str],
    scales: Sequence[Scale],
    preset: Preset,
) -> None:
    """Check that something of the deepest layer is left of each painting.

    Args:
      styles: the paintings.
      names: what messages call them.
      scales: from ``nstjax.problem.pyramid.plan_scales``.
      preset: whose layers and sizes hold.

    Raises:
      InputError: one that is too thin.
    """
    layer = deepest_layer(preset)
    needed = least_side(layer, preset.network.pool_padding)
    for name, style in zip(names, styles, strict=True):
        height, width = style_size(style, scales[0], scales[-1], preset)
        if min(height, width) < needed:
            raise InputError(
                f"{name} has {style.shape[1]}x{style.shape[0]} pixels, of which this "
                f"run makes {width}x{height}, and is too small for {layer}: it needs "
                f"at least {needed} on each side; crop it to a less thin picture, or "
                "choose a larger --size or --style_scale"
            )


def stretch_contrast(image: np.ndarray) -> np.ndarray:
    """Scale an image so that its smallest value is 0 and its largest 1.

    Source:
      ``rescale(single(image), 0, 255)`` in MATLAB's example.
    """
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else image


def content_in_color(photo: np.ndarray, preset: Preset) -> np.ndarray:
    """The photo as the transfer sees it: grey where only luminance is transferred."""
    if preset.image.color != "luminance" or preset.image.color_when == "after":
        return photo
    # scikit-image takes a while to import.
    from nstjax.images import color

    return _grey(color.luminance(photo, preset.image.color_space))


def style_in_color(style: np.ndarray, photo: np.ndarray, preset: Preset) -> np.ndarray:
    """A painting as the transfer sees it: matched to the photo, as the preset says."""
    if preset.image.color == "style" or preset.image.color_when == "after":
        return style
    from nstjax.images import color

    if preset.image.color == "match":
        return color.match_color(style, photo, preset.image.color_match)
    return _grey(
        color.match_luminance(
            color.luminance(style, preset.image.color_space),
            color.luminance(photo, preset.image.color_space),
            preset.image.luminance_match,
        )
    )


def finish(image: Array | np.ndarray, preset: Preset, original: Original) -> np.ndarray:
    """The picture to show: sRGB in 0..1, at the size that the preset's rule says.

    Args:
      image: the iterate, in the network's units, shape [height, width, 3].
      preset: whose color and size rules hold.
      original: the photo.

    Returns:
      float32, shape [height', width', 3].
    """
    picture = np.asarray(deprocess(image))
    photo = original.photo
    if preset.image.color != "style":
        from nstjax.images import color

        if preset.image.color == "luminance":
            luminance = (
                picture.mean(2)
                if preset.image.color_when == "before"
                else color.luminance(picture, preset.image.color_space)
            )
            picture = color.with_luminance(photo, luminance, preset.image.color_space)
        elif preset.image.color_when == "after":
            picture = color.match_color(picture, photo, preset.image.color_match)
    if original.stylize_mask is not None:
        share = original.stylize_mask[:, :, None]
        picture = share * picture + (1 - share) * photo
    if preset.image.resize_to_content:
        picture = resize(picture, *original.size, preset.image.resample)
    return picture


def _grey(luminance: np.ndarray) -> np.ndarray:
    return np.repeat(luminance[:, :, None], 3, axis=2)
