"""A new style image: the fine structure of one painting, the coarse one of another."""

from collections.abc import Callable, Sequence

import numpy as np
from jax.sharding import Mesh

from nstjax.images.resizing import Size, resize
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset
from nstjax.presets.settings import customize
from nstjax.problem.preprocessing import style_in_color, style_size
from nstjax.problem.problem import Problem, prepare
from nstjax.problem.pyramid import plan_scales


def mix_styles(
    content: np.ndarray,
    fine: np.ndarray,
    coarse: np.ndarray,
    params: Params,
    preset: Preset,
    paint: Callable[[Problem, Preset], np.ndarray],
    mesh: Mesh | None = None,
) -> np.ndarray:
    """Make the style image of a transfer that mixes two scales.

    min_x Σ_{l ≤ L} w_l E_l(x, P) from x = Q, with P the fine style and Q the coarse
    one, whose larger structure stays because nothing asks for another. The scales and
    steps are the transfer's; L is ``preset.image.fine_layers`` at the first scale and
    ``preset.image.fine_layers_refined`` at the others.

    Args:
      content: the photo, sRGB in 0..1; where the preset matches colors, both styles are
        matched to it first.
      fine: P, likewise.
      coarse: Q, likewise.
      params: the network.
      preset: of the transfer.
      paint: runs a problem with its settings, returns the picture.
      mesh: see ``nstjax.prepare``.

    Returns:
      The mixed style, sRGB in 0..1, of the size that the transfer's last scale gives
      to Q.

    Source:
      Gatys et al. (2017), "Controlling Perceptual Factors in Neural Style Transfer",
      section 6; its code's ``ScaleControl.ipynb``.
    """
    if preset.image.color == "match":
        fine, coarse = (
            style_in_color(style, content, preset) for style in (fine, coarse)
        )
    scales = plan_scales((content.shape[0], content.shape[1]), preset)
    mixed = coarse
    for index, scale in enumerate(scales):
        layers = preset.image.fine_layers_refined if index else preset.image.fine_layers
        size = style_size(coarse, scale, scales[-1], preset)
        stage = customize(
            preset,
            alpha=0.0,
            # Its weight is 0; the shallowest costs nothing.
            content_layers=layers[:1],
            content_layer_weights=(1.0,),
            style_layers=layers,
            style_layer_weights=_layer_weights(layers, preset),
            color="style",
            init="content",
            keep="last",
            size=Size("exact", size),
            style_scale=1.0,
            pyramid="none",
            steps=scale.last_step - scale.first_step,
            resize_to_content=False,
        )
        start = resize(mixed, *size, preset.image.resample)
        mixed = paint(prepare(start, [fine], params, stage, mesh=mesh), stage)
    return mixed


def _layer_weights(layers: Sequence[str], preset: Preset) -> tuple[float, ...]:
    known = dict(zip(preset.style_layers, preset.style_layer_weights, strict=True))
    return tuple(known.get(layer, 1.0) for layer in layers)
