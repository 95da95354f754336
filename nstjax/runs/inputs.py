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
from nstjax.runs.fast_start import fast_start
from nstjax.runs.request import Request


class Inputs(NamedTuple):
    """Every picture of a request, sRGB in 0..1, each [height, width, 3]."""

    content: np.ndarray
    alpha: np.ndarray | None  # opacity of the result, [height, width] in 0..1
    styles: Sequence[np.ndarray]
    style_names: Sequence[str]  # what messages call them
    fine_style: np.ndarray | None  # whose strokes are mixed into the style first
    init_image: np.ndarray | None  # where to start
    controls: Controls


def read_inputs(request: Request) -> Inputs:
    """Read the pictures and masks; ``InputError`` for one that cannot be used."""
    preset, fine_style = request.preset, None
    if request.content is None:
        # scikit-image takes a while to import, and only the demo needs it.
        from nstjax.io.demo import demo_pictures

        content, *styles = demo_pictures()
        alpha, names = None, ["the demo's painting"]
    else:
        content, alpha = read_photo(
            request.content, request.transparency, content_size(preset)
        )
        used_size = painting_size(content, preset)
        styles = [read_on_white(path, used_size) for path in request.styles]
        names = [Path(path).name for path in request.styles]
        if request.fine_style is not None:
            fine_style = read_on_white(request.fine_style, used_size)
    controls = read_controls(content, styles, names, **vars(request.controls))
    init_image = None
    if preset.image.init == "fast":
        shares = controls.style_blend_weights
        init_image = fast_start(content, styles, shares, preset)
    elif preset.image.init not in INITS:
        init_image = read_on_white(preset.image.init, content_size(preset))
    return Inputs(content, alpha, styles, names, fine_style, init_image, controls)


def make_problem(inputs: Inputs, params: Params, request: Request) -> Problem:
    """The problem of a request's inputs."""
    return prepare(
        *(inputs.content, inputs.styles, params, request.preset),
        seed=request.seed,
        init_image=inputs.init_image,
        controls=inputs.controls,
        mesh=request.mesh,
        tile=request.tile,
    )
