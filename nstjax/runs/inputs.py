"""What a request reads from disk, and the problem that it makes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nstjax.io.transparency import read_on_white, read_photo
from nstjax.network.vgg import Params
from nstjax.presets.preset import INITS
from nstjax.problem.preprocessing import content_size, painting_size
from nstjax.problem.problem import Problem, prepare
from nstjax.problem.targets import Controls
from nstjax.runs.controls import read_controls
from nstjax.runs.request import Request


class Inputs(NamedTuple):
    """Every picture of a request.

    Attributes:
      content: the photo, sRGB in 0..1, shape [height, width, 3].
      alpha: opacity that the result gets, [height, width] in 0..1, or None.
      styles: the paintings likewise, each of its own size.
      style_names: what messages call them.
      init_image: where to start, or None.
      controls: regions, masks and the paintings' shares.
    """

    content: np.ndarray
    alpha: np.ndarray | None
    styles: list[np.ndarray]
    style_names: list[str]
    init_image: np.ndarray | None
    controls: Controls


def read_inputs(request: Request) -> Inputs:
    """Read the pictures and masks.

    Raises:
      InputError: one that cannot be used; the message says why.
    """
    if request.content is None:
        # scikit-image takes a while to import, and only the demo needs it.
        from nstjax.io.demo import demo_pictures

        content, *styles = demo_pictures()
        alpha = None
    else:
        content, alpha = read_photo(
            request.content, request.transparency, content_size(request.preset)
        )
        used_size = painting_size(content, request.preset)
        styles = [read_on_white(path, used_size) for path in request.styles]
    init = request.preset.image.init
    init_image = None
    if init not in INITS:
        init_image = read_on_white(init, content_size(request.preset))
    names = [Path(path).name for path in request.styles] or ["the demo's painting"]
    controls = read_controls(
        content,
        styles,
        names,
        content_mask=request.content_mask,
        style_masks=request.style_masks,
        style_regions=request.style_regions,
        region_weights=request.region_weights,
        stylize_mask=request.stylize_mask,
        style_image_layers=request.style_image_layers,
        style_blend_weights=request.style_blend_weights,
    )
    return Inputs(content, alpha, styles, names, init_image, controls)


def make_problem(
    inputs: Inputs,
    params: Params,
    request: Request,
    styles: Sequence[np.ndarray] | None = None,
) -> Problem:
    """The request's problem, with other style images where they are given."""
    return prepare(
        inputs.content,
        inputs.styles if styles is None else styles,
        params,
        request.preset,
        seed=request.seed,
        init_image=inputs.init_image,
        controls=inputs.controls,
        mesh=request.mesh,
        tile=request.tile,
    )
