"""What the ``nstjax`` command does once its flags are read."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nstjax.commands.launcher import FAILURE_STATUS, INTERRUPTED_STATUS
from nstjax.errors import InputError
from nstjax.images.contact_sheet import montage
from nstjax.images.pixels import over_white, to_8_bit
from nstjax.images.resizing import without_enlargement
from nstjax.io.atomic import check_results, nearest_folder
from nstjax.io.config import CONFIG, check_resumable, write_config
from nstjax.io.extras import Extras, write_somewhere
from nstjax.io.images import check_output, check_transparent, read_image, write_image
from nstjax.io.transparency import fit_alpha
from nstjax.io.weights import LoadedParams, load_network
from nstjax.io.workdir import one_run_in
from nstjax.network.vgg import Params
from nstjax.optimization.steps import NonFiniteLossError
from nstjax.presets.preset import Preset
from nstjax.presets.settings import with_settings
from nstjax.problem.memory_plan import choose_tile
from nstjax.problem.preprocessing import check_styles
from nstjax.problem.problem import Problem
from nstjax.problem.pyramid import plan_scales
from nstjax.runs.inputs import Inputs, make_problem, read_inputs
from nstjax.runs.outputs import Outputs
from nstjax.runs.request import (
    Request,
    environment,
    input_paths,
    request_record,
    run_settings,
)
from nstjax.runs.run_files import FILES
from nstjax.runs.session import execute
from nstjax.runtime.interrupts import saving_on_interrupt
from nstjax.runtime.memory import free_before_next_step
from nstjax.runtime.processes import all_or_none, count_processes, is_first_process

LOGGER = logging.getLogger("nstjax")
# A shorter run is a try, of which nobody expects much.
LEAST_TELLING_STEPS = 10


def transfer(request: Request) -> int:
    """Run a transfer and write its result; returns the exit status.

    Nothing is written before everything that can be wrong has been checked. Where the
    loss becomes NaN or infinite, the last good image is written first.
    """
    # Before JAX's first operation: the prediction of the memory counts on it.
    free_before_next_step()
    with (
        one_run_in(request.outputs.workdir),
        saving_on_interrupt("stopping after this step") as begin_saving,
    ):
        if count_processes() > 1:
            # The others would wait in vain for one that ends at once.
            begin_saving()
        return _transfer(request, begin_saving)


def _transfer(request: Request, begin_saving: Callable[[], None]) -> int:
    # What is wrong in one process only must not leave the others waiting for it.
    with all_or_none():
        check_outputs(request)
        inputs = read_inputs(request)
        network = load_network(request.weights, seed=request.seed)
        request, settings = _planned(request, inputs, network)
    memory = choose_tile(
        *(inputs.content, inputs.styles, network.params, request.preset),
        regions=len(inputs.controls.regions),
        memory_gb=request.memory_gb,
        tile=request.tile,
        mesh=request.mesh,
    )
    if memory:
        request = dataclasses.replace(request, tile=request.tile or memory.tile)
    problem = make_problem(inputs, network.params, request)
    config = {"settings": settings, "request": request_record(request)}
    config |= environment(network)
    if inputs.fine_style is not None:
        # What is wrong with the transfer is known by now.
        mixed = _mixed_style(request, config, inputs, network.params)
        inputs = inputs._replace(styles=[mixed])
        problem = make_problem(inputs, network.params, request)
    print(
        f"nstjax: preset {request.preset_name}, {_scales_text(problem)} of "
        f"{request.preset.optimizer.name}; weights {network.source}, "
        f"sha256 {network.sha256[:12]}{network.advice and '; ' + network.advice}"
    )
    if memory:
        print(f"nstjax: {memory}")
    try:
        outcome = execute(
            *(problem, request.preset, request.outputs),
            config=config,
            resume=request.resume,
            begin_saving=begin_saving,
        )
    except NonFiniteLossError as error:
        path = _write_result(request, error.image, inputs.alpha)
        print(f"nstjax: wrote {path}, the last image of finite loss")
        raise
    path = _write_result(request, outcome.image, inputs.alpha)
    written = _write_montage(request, outcome.image, inputs)
    steps = "1 step" if outcome.step == 1 else f"{outcome.step} steps"
    print(f"nstjax: wrote {path} after {steps}")
    if outcome.interrupted:
        how = "a run with --workdir=DIR can be resumed"
        if request.outputs.workdir:
            how = "the same command with --resume goes on from here"
        print(f"nstjax: interrupted; {how}")
        return INTERRUPTED_STATUS
    if outcome.losses and outcome.step >= LEAST_TELLING_STEPS:
        first, last = outcome.losses
        if last > 0.9 * first:
            LOGGER.info(
                "the loss only fell from %.4g to %.4g, so the picture has hardly "
                "changed: try more --steps, another --init or --optimizer=adam",
                *(first, last),
            )
    complete = outcome.complete and path == request.outputs.result and written
    return 0 if complete else FAILURE_STATUS


def _planned(
    request: Request, inputs: Inputs, network: LoadedParams
) -> tuple[Request, dict[str, Any]]:
    """The request with the size that it comes to, and all that decides the picture."""
    preset, (height, width, _) = request.preset, inputs.content.shape
    if request.no_upscale:
        size = without_enlargement(preset.image.size, height, width)
        preset = with_settings(preset, size=size)
        request = dataclasses.replace(request, preset=preset)
    try:
        scales = plan_scales((height, width), preset)
    except InputError as error:
        raise InputError(f"{request.content or 'the photo'}: {error}") from None
    check_styles(inputs.styles, inputs.style_names, scales, preset)
    settings = run_settings(request, scales, network.sha256)
    if request.resume and request.outputs.workdir:
        check_resumable(request.outputs.workdir, settings)
    end = scales[-1]
    if end.height > height or end.width > width:
        LOGGER.info(
            "the photo has %dx%d pixels and is enlarged to %dx%d: --no_upscale paints "
            "it at its own size",
            *(width, height, end.width, end.height),
        )
    return request, settings


def _write_result(
    request: Request, image: np.ndarray, alpha: np.ndarray | None
) -> Path:
    outputs = request.outputs
    if not is_first_process():
        return outputs.result
    return write_somewhere(
        outputs.result,
        lambda path: write_image(path, image, outputs.quality, fit_alpha(alpha, image)),
    )


def _write_montage(request: Request, image: np.ndarray, inputs: Inputs) -> bool:
    """Write it if it is asked for; whether nothing is missing."""
    extras = Extras()
    if is_first_process() and request.preset.image.montage:
        pictures = inputs.content, image
        shown = [over_white(each, fit_alpha(inputs.alpha, each)) for each in pictures]
        with extras.writing("the montage"):
            row = montage([*shown, *inputs.styles], height=len(image))
            write_image(request.outputs.montage, row, request.outputs.quality)
    return not extras.missing


def check_outputs(request: Request) -> list[Path]:
    """The pictures to write; ``InputError`` for one that cannot go where it should."""
    outputs, folder = request.outputs, request.outputs.workdir
    if outputs.result.is_dir():
        # It may have no name to make others of, such as . or /.
        check_output(outputs.result)
    if request.transparency == "keep":
        check_transparent(outputs.result)
    paths = [outputs.result, *map(outputs.snapshot, outputs.snapshots)]
    paths += [outputs.montage] if request.preset.image.montage else []
    paths += [outputs.mixed_style] if request.fine_style else []
    for path in paths:
        # The working folder is made later, when all else has been checked: until then
        # its place is the nearest folder that exists.
        made_later = path.parent == folder
        check_output(nearest_folder(path.parent) / path.name if made_later else path)
    run_files = [folder / name for name in FILES if folder]
    check_results(
        [*paths[1:], *run_files],
        given=paths[:1],
        inputs=[*input_paths(request).values(), request.weights],
    )
    if folder and not request.resume:
        if (folder / CONFIG).exists():
            raise InputError(
                f"{folder} already holds a run: add --resume to go on with it, or "
                "choose another --workdir"
            )
        check_results(given=[*run_files, *paths], new_in=folder)
    return paths


def _scales_text(problem: Problem) -> str:
    """The sizes and steps of a run, as its first line tells them."""
    return ", then ".join(
        f"{width}x{height} pixels, {last - first} steps"
        for height, width, first, last in problem.scales
    )


def _mixed_style(
    request: Request, config: dict[str, Any], inputs: Inputs, params: Params
) -> np.ndarray:
    """The style image that fine and coarse style make, written beside the result.

    What is used is what the file holds, so that a resumed run needs only the file.
    """
    from nstjax.problem.style_mixing import mix_styles

    path, workdir = request.outputs.mixed_style, request.outputs.workdir
    if request.resume and path.exists():
        return read_image(path)

    def paint(problem: Problem, stage: Preset) -> np.ndarray:
        print(f"nstjax: mixing styles, {_scales_text(problem)}")
        quiet = Outputs(preview_seconds=0, quiet=request.outputs.quiet)
        outcome = execute(problem, stage, quiet)
        if outcome.interrupted:
            raise SystemExit(INTERRUPTED_STATUS)
        return outcome.image

    assert inputs.fine_style is not None
    pictures = inputs.content, inputs.fine_style, inputs.styles[0]
    mixed = mix_styles(*pictures, params, request.preset, paint, request.mesh)
    if is_first_process():
        if workdir:
            # Without it a run that is killed now could not be resumed.
            write_config(workdir, config)
        write_image(path, mixed)
    print(f"nstjax: wrote {path}, the mixed style")
    return to_8_bit(mixed) / np.float32(255)
