"""Style transfer from Python in one call."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from nstjax.io.images import read_image
from nstjax.presets import (
    DEFAULT_PRESET,
    INITS,
    Preset,
    customize,
    default_size_rule,
    get_preset,
)
from nstjax.problem import evaluate, finish, prepare
from nstjax.sizes import parse_size
from nstjax.transfer import TransferInfo, run
from nstjax.vgg import Params

ImageSource = str | os.PathLike[str] | Image.Image | np.ndarray


class Losses(NamedTuple):
    """Losses of the image after 0, 1, …, steps updates: arrays of length steps + 1.

    Attributes:
      total: α·content + β·style + tv·total variation.
      content: Σ_l w_l C_l, without alpha.
      style: Σ_l w_l E_l, without beta.
      tv: total variation, without its weight.
      content_layers: {layer: C_l}, without w_l.
      style_layers: {layer: E_l}, without w_l.
    """

    total: np.ndarray
    content: np.ndarray
    style: np.ndarray
    tv: np.ndarray
    content_layers: dict[str, np.ndarray]
    style_layers: dict[str, np.ndarray]


class Result(NamedTuple):
    """What a transfer gives.

    Attributes:
      image: sRGB in 0..1, float32, shape [height, width, 3].
      losses: of every step.
      best_step: the step of lowest total loss; ``image`` is of that step where the
        preset keeps the best image, of the last one elsewhere.
      preset: the settings as they were used.
    """

    image: np.ndarray
    losses: Losses
    best_step: int
    preset: Preset


def stylize(
    content: ImageSource,
    style: ImageSource | Sequence[ImageSource],
    params: Params,
    preset: str | Preset = DEFAULT_PRESET,
    *,
    seed: int = 0,
    style_blend_weights: Sequence[float] | None = None,
    init_image: ImageSource | None = None,
    **settings: Any,
) -> Result:
    """Paint a photo in the manner of one or several paintings.

    Args:
      content: the photo: a path, a PIL image, or an array (uint8, or float in 0..1).
      style: a painting, or a list of paintings to blend.
      params: the network, from ``nstjax.load_params``.
      preset: a name of ``nstjax.PRESETS`` or a preset of your own.
      seed: of the initial noise.
      style_blend_weights: one for each painting; equal where not given.
      init_image: where to start, in place of the preset's init.
      **settings: fields of ``Preset`` that differ from the preset, such as
        ``beta=1e4``, ``steps=100`` or ``size=256``.

    Returns:
      The image, the losses of every step and the settings used.

    Raises:
      InputError: an input that cannot be used; the message says why.
      NonFiniteLossError: the loss became NaN or infinite.

    Example::

      params = nstjax.load_params()
      result = nstjax.stylize("photo.jpg", "painting.jpg", params, "gatys-code",
                              steps=300, size=384)
      nstjax.write_image("stylized.png", result.image)
    """
    chosen = get_preset(preset) if isinstance(preset, str) else preset
    if isinstance(settings.get("size"), str | int):
        settings["size"] = parse_size(settings["size"], default_size_rule(chosen))
    chosen = customize(chosen, **settings)
    if init_image is None and chosen.init not in INITS:
        init_image = chosen.init
    if isinstance(style, str | os.PathLike | Image.Image | np.ndarray):
        style = [style]
    problem = prepare(
        read_image(content),
        [read_image(image) for image in style],
        params,
        chosen,
        seed=seed,
        style_blend_weights=style_blend_weights,
        init_image=None if init_image is None else read_image(init_image),
    )
    infos = []
    for state, info in run(problem.steps, problem.state, problem.data, chosen.steps):
        infos.append(info)
    last_image = np.asarray(state.image)
    state, info = evaluate(problem, state)
    losses = losses_of([*infos, info])
    image = np.asarray(state.best_image) if chosen.keep == "best" else last_image
    return Result(
        image=finish(image, chosen, problem.content_size),
        losses=losses,
        best_step=int(losses.total.argmin()),
        preset=chosen,
    )


def losses_of(infos: Iterable[TransferInfo]) -> Losses:
    """Join the infos of consecutive steps."""
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *infos)
    return Losses(joined.loss, *joined.terms)
