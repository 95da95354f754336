"""Style transfer from Python in one call."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.io.images import read_image
from nstjax.io.masks import ImageSource, MaskSource
from nstjax.network.vgg import Params
from nstjax.optimization.steps import run
from nstjax.optimization.transfer import TransferInfo
from nstjax.presets.preset import INITS, Preset
from nstjax.presets.published import DEFAULT_PRESET, get_preset
from nstjax.presets.settings import customize, default_size_rule
from nstjax.problem.memory_plan import choose_tile
from nstjax.problem.preprocessing import content_size, finish, painting_size
from nstjax.problem.problem import Problem, evaluate, prepare
from nstjax.problem.pyramid import shown_image
from nstjax.runs.controls import listed, read_controls
from nstjax.runs.fast_start import fast_start
from nstjax.runtime.mesh import read_mesh
from nstjax.runtime.processes import to_numpy


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
    init_image: ImageSource | None = None,
    fine_style: ImageSource | None = None,
    style_blend_weights: Sequence[float] | None = None,
    style_image_layers: Sequence[tuple[str, ...] | None] | None = None,
    content_mask: MaskSource | None = None,
    style_masks: ImageSource | Sequence[MaskSource | None] | None = None,
    style_regions: Sequence[str] | None = None,
    region_weights: Sequence[float] | None = None,
    stylize_mask: ImageSource | None = None,
    mesh: str | Mesh | None = None,
    tile: int | None = None,
    memory_gb: float | None = None,
    **settings: Any,
) -> Result:
    """Paint a photo in the manner of one or several paintings.

    Args:
      content: the photo: a path, a PIL image, or an array (uint8, or float in 0..1);
        what is transparent is put on white.
      style: a painting, or a list of paintings to blend.
      params: the network, from ``nstjax.load_params``.
      preset: a name of ``nstjax.PRESETS`` or a preset of your own.
      seed: of the initial noise and the sampled style losses.
      init_image: where to start, in place of the preset's init.
      fine_style: a painting whose brush strokes ``style``, the coarse one, is given
        first, see ``nstjax.problem.style_mixing``.
      style_blend_weights: one for each painting; equal where not given.
      style_image_layers: for each painting the style layers that it serves, or None
        for all.
      content_mask: where the photo's regions are, see ``nstjax.read_controls``.
      style_masks: where the paintings' regions are.
      style_regions: which regions each painting is given to.
      region_weights: one for each region.
      stylize_mask: white where the photo is painted, black where it stays.
      mesh: "rows=4" to split the image over four devices, see
        ``nstjax.optimization.sharding``.
      tile: see ``nstjax.prepare``.
      memory_gb: what the process may take, see ``nstjax.problem.memory_plan``; a run
        that would take more goes by tiles.
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
    if init_image is None and chosen.image.init not in INITS:
        init_image = chosen.image.init
    if isinstance(mesh, str):
        mesh = read_mesh(mesh)
    photo = read_image(content, content_size(chosen))
    used_size = painting_size(photo, chosen)
    paintings = [read_image(image, used_size) for image in listed(style)]
    names = [f"style image {number}" for number, _ in enumerate(paintings, start=1)]
    controls = read_controls(
        *(photo, paintings, names),
        content_mask=content_mask,
        style_masks=style_masks,
        style_regions=style_regions,
        region_weights=region_weights,
        stylize_mask=stylize_mask,
        style_image_layers=style_image_layers,
        style_blend_weights=style_blend_weights,
    )
    start = None
    if init_image is None and chosen.image.init == "fast":
        start = fast_start(photo, paintings, style_blend_weights, chosen)
    elif init_image is not None:
        start = read_image(init_image, content_size(chosen))
    if fine_style is not None:
        from nstjax.problem.style_mixing import mix_styles

        if len(paintings) != 1:
            raise InputError(
                "fine_style goes with one style image, the coarse one: "
                f"{len(paintings)} were given"
            )
        fine = read_image(fine_style, used_size)
        paintings = [
            mix_styles(
                *(photo, fine, paintings[0], params, chosen),
                paint=lambda problem, stage: _paint(problem, stage)[0],
                mesh=mesh,
            )
        ]
    given = (photo, paintings, params, chosen)
    split: dict[str, Any] = {"tile": tile, "mesh": mesh}
    if memory_gb is not None:
        regions = len(controls.regions)
        plan = choose_tile(*given, regions=regions, memory_gb=memory_gb, **split)
        split["tile"] = plan and plan.tile
    problem = prepare(*given, seed=seed, init_image=start, controls=controls, **split)
    image, losses = _paint(problem, chosen)
    return Result(image, losses, int(losses.total.argmin()), chosen)


def _paint(problem: Problem, preset: Preset) -> tuple[np.ndarray, Losses]:
    infos: list[TransferInfo] = []
    following: Problem | None = problem
    while following:
        problem, state = following, following.state
        last = problem.scale.last_step
        for state, info in run(problem.steps, state, problem.data, last):
            infos.append(info)
        following = problem.next_scale(state)
    image = to_numpy(shown_image(state, preset.optimizer.keep))
    state, info = evaluate(problem, state)
    if preset.optimizer.keep == "best":
        image = to_numpy(state.best_image)
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *infos, info)
    losses = Losses(joined.loss, *joined.terms)
    return finish(image, preset, problem.original), losses
