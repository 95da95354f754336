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
from nstjax.images.resizing import output_size, without_enlargement
from nstjax.io.atomic import (
    check_results,
    nearest_folder,
)
from nstjax.io.config import CONFIG, check_resumable, write_config
from nstjax.io.extras import Extras, write_somewhere
from nstjax.io.images import check_output, check_transparent, read_image, write_image
from nstjax.io.locks import PREVIEW, PREVIEW_FOLDER
from nstjax.io.run_log import METRICS, RUN
from nstjax.io.transparency import fit_alpha, read_on_white
from nstjax.io.weights import load_network
from nstjax.io.workdir import one_run_in
from nstjax.network.vgg import LAYERS, LayerSummary, Params, check_size, summarize
from nstjax.optimization.steps import NonFiniteLossError
from nstjax.presets.preset import Preset
from nstjax.presets.published import PRESETS
from nstjax.problem.memory_plan import choose_tile
from nstjax.problem.preprocessing import check_styles, painting_size
from nstjax.problem.problem import Problem
from nstjax.problem.pyramid import plan_scales
from nstjax.runs.inputs import make_problem, read_inputs
from nstjax.runs.recorder import CHECKPOINT, Outputs
from nstjax.runs.request import (
    Request,
    beside,
    input_paths,
    mixed_style_path,
    run_config,
    run_settings,
)
from nstjax.runs.session import execute
from nstjax.runtime.interrupts import saving_on_interrupt
from nstjax.runtime.memory import free_before_next_step
from nstjax.runtime.processes import all_or_none, count_processes, is_first_process

LOGGER = logging.getLogger("nstjax")
# A shorter run is a try, of which nobody expects much.
LEAST_TELLING_STEPS = 10
RUN_FILES = (CONFIG, METRICS, RUN, CHECKPOINT)


def transfer(request: Request) -> int:
    """Run a transfer and write its result; returns the exit status.

    Nothing is written before everything that can be wrong has been checked.

    Raises:
      InputError: an input that cannot be used.
      NonFiniteLossError: the loss became NaN or infinite; the last good image is
        written first.
      OSError: a file could not be written.
    """
    # Before JAX's first operation: the prediction of the memory counts on it.
    free_before_next_step()
    with (
        one_run_in(request.workdir),
        saving_on_interrupt("stopping after this step") as begin_saving,
    ):
        if count_processes() > 1:
            # The others would wait in vain for one that ends at once.
            begin_saving()
        return _transfer(request, begin_saving)


def _transfer(request: Request, begin_saving: Callable[[], None]) -> int:
    preset = request.preset
    outputs = _outputs(request)
    # What is wrong in one process only must not leave the others waiting for it.
    with all_or_none():
        check_outputs(request)
        inputs = read_inputs(request)
        content, styles = inputs.content, inputs.styles
        fine_style = None
        if request.fine_style is not None:
            fine_style = read_on_white(
                request.fine_style, painting_size(content, preset)
            )
        network = load_network(request.weights, seed=request.seed)
        height, width, _ = content.shape
        if request.no_upscale:
            size = without_enlargement(preset.size, height, width)
            preset = dataclasses.replace(preset, size=size)
            request = dataclasses.replace(request, preset=preset)
        try:
            scales = plan_scales((height, width), preset)
        except InputError as error:
            raise InputError(f"{request.content or 'the photo'}: {error}") from None
        check_styles(styles, inputs.style_names, scales, preset)
        settings = run_settings(request, scales, network.sha256)
        if request.resume and request.workdir:
            check_resumable(request.workdir, settings)

    end = scales[-1]
    if end.height > height or end.width > width:
        LOGGER.info(
            "the photo has %dx%d pixels and is enlarged to %dx%d: --no_upscale paints "
            "it at its own size",
            *(width, height, end.width, end.height),
        )
    memory = choose_tile(
        content,
        styles,
        network.params,
        preset,
        regions=len(inputs.controls.regions),
        memory_gb=request.memory_gb,
        tile=request.tile,
        mesh=request.mesh,
    )
    if memory:
        request = dataclasses.replace(request, tile=request.tile or memory.tile)
    problem = make_problem(inputs, network.params, request)
    config = run_config(request, settings, network)
    if fine_style is not None:
        # What is wrong with the transfer is known by now.
        styles = [
            _mixed_style(
                request, config, content, fine_style, styles[0], network.params
            )
        ]
        problem = make_problem(inputs, network.params, request, styles)
    print(
        f"nstjax: preset {request.preset_name}, {_scales_text(problem)} of "
        f"{preset.optimizer}; weights {network.source}, "
        f"sha256 {network.sha256[:12]}{network.advice and '; ' + network.advice}"
    )
    if memory:
        print(f"nstjax: {memory}")
    try:
        outcome = execute(
            problem,
            preset,
            outputs,
            config=config,
            resume=request.resume,
            begin_saving=begin_saving,
        )
    except NonFiniteLossError as error:
        path = _write_result(request, error.image, inputs.alpha)
        print(f"nstjax: wrote {path}, the last image of finite loss")
        raise
    path = _write_result(request, outcome.image, inputs.alpha)
    extras = Extras()
    if outputs.writes and preset.montage:
        shown = [
            over_white(image, fit_alpha(inputs.alpha, image))
            for image in (content, outcome.image)
        ]
        with extras.writing("the montage"):
            row = montage([*shown, *styles], height=len(outcome.image))
            write_image(_montage_path(request), row, request.quality)
    steps = "1 step" if outcome.step == 1 else f"{outcome.step} steps"
    print(f"nstjax: wrote {path} after {steps}")
    if outcome.interrupted:
        print(_how_to_go_on(request))
        return INTERRUPTED_STATUS
    if outcome.losses and outcome.step >= LEAST_TELLING_STEPS:
        _tell_of_little_progress(*outcome.losses)
    written = outcome.complete and path == request.output and not extras.missing
    return 0 if written else FAILURE_STATUS


def _write_result(
    request: Request, image: np.ndarray, alpha: np.ndarray | None
) -> Path:
    if not is_first_process():
        return request.output
    return write_somewhere(
        request.output,
        lambda path: write_image(path, image, request.quality, fit_alpha(alpha, image)),
    )


def print_presets() -> None:
    """Print the presets, a line each."""
    print(f"{'preset':<19}{'optimizer':<10}{'steps':>5}  {'size':<14}source")
    for name, preset in PRESETS.items():
        value = preset.size.value
        size = f"{value[1]}x{value[0]}" if isinstance(value, tuple) else str(value)
        print(
            f"{name:<19}{preset.optimizer:<10}{preset.steps:>5}  "
            f"{preset.size.rule + ' ' + size:<14}{preset.source}"
        )


def network_rows(preset: Preset) -> list[LayerSummary]:
    """VGG-19's layers for a 4:3 photo of the preset's size, with its padding."""
    height, width = output_size(300, 400, preset.size)
    check_size(height, width, LAYERS[-1], preset.pool_padding)
    return summarize(height, width, pool_padding=preset.pool_padding)


def print_network(preset: Preset) -> None:
    """Print the network's table for the preset's size and padding."""
    rows = network_rows(preset)
    from nstjax.network.diagram import table_text

    print(table_text(rows))


def draw_network(preset: Preset, path: str) -> None:
    """Draw the network, the preset's layers marked, to an image file."""
    check_output(path)
    rows = network_rows(preset)
    # Matplotlib takes a while to import, and writes a list of fonts.
    from nstjax.network.diagram import draw

    marked = (*preset.content_layers, *preset.style_layers)
    write_image(path, draw(rows, marked))
    print(f"nstjax: wrote {path}")


def check_outputs(request: Request) -> list[Path]:
    """The pictures to write; ``InputError`` for one that cannot go where it should."""
    if request.output.is_dir():
        # It may have no name to make others of, such as . or /.
        check_output(request.output)
    outputs = _outputs(request)
    folder = request.workdir
    paths = [request.output]
    if request.transparency == "keep":
        check_transparent(request.output)
    paths += [outputs.snapshot_path_at(step) for step in outputs.snapshots]
    paths += [_montage_path(request)] if request.preset.montage else []
    paths += [mixed_style_path(request)] if request.fine_style else []
    for path in paths:
        # The working folder is made later, when all else has been checked: until then
        # its place is the nearest folder that exists.
        if folder and path.parent == folder:
            check_output(nearest_folder(folder) / path.name)
        else:
            check_output(path)
    run_files = [folder / name for name in RUN_FILES if folder]
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


def _tell_of_little_progress(first: float, last: float) -> None:
    if last > 0.9 * first:
        LOGGER.info(
            "the loss only fell from %.4g to %.4g, so the picture has hardly changed: "
            "try more --steps, another --init or --optimizer=adam",
            *(first, last),
        )


def _how_to_go_on(request: Request) -> str:
    if request.workdir:
        return "nstjax: interrupted; the same command with --resume goes on from here"
    return "nstjax: interrupted; a run with --workdir=DIR can be resumed"


def _scales_text(problem: Problem) -> str:
    """The sizes and steps of a run, as its first line tells them."""
    return ", then ".join(
        f"{scale.width}x{scale.height} pixels, "
        f"{scale.last_step - scale.first_step} steps"
        for scale in problem.scales
    )


def _mixed_style(
    request: Request,
    config: dict[str, Any],
    content: np.ndarray,
    fine: np.ndarray,
    coarse: np.ndarray,
    params: Params,
) -> np.ndarray:
    """The style image that fine and coarse style make, written beside the result.

    What is used is what the file holds, so that a resumed run needs only the file.
    """
    from nstjax.problem.style_mixing import mix_styles

    path = mixed_style_path(request)
    if request.resume and path.exists():
        return read_image(path)

    def paint(problem: Problem, stage: Preset) -> np.ndarray:
        print(f"nstjax: mixing styles, {_scales_text(problem)}")
        outcome = execute(problem, stage, Outputs(quiet=request.quiet))
        if outcome.interrupted:
            raise SystemExit(INTERRUPTED_STATUS)
        return outcome.image

    mixed = mix_styles(
        content, fine, coarse, params, request.preset, paint, request.mesh
    )
    if is_first_process():
        if request.workdir:
            # Without it a run that is killed now could not be resumed.
            write_config(request.workdir, config)
        write_image(path, mixed)
    print(f"nstjax: wrote {path}, the mixed style")
    return to_8_bit(mixed) / np.float32(255)


def _montage_path(request: Request) -> Path:
    return beside(request.output, "montage")


def _outputs(request: Request) -> Outputs:
    folder = request.workdir
    snapshot = folder / "snapshot.png" if folder else request.output
    preview = f"{request.output.stem}{PREVIEW_FOLDER}/{PREVIEW}"
    return Outputs(
        snapshots=request.snapshots,
        snapshot_path=snapshot,
        preview=snapshot.parent / preview if request.preview_seconds else None,
        preview_seconds=request.preview_seconds,
        workdir=folder,
        checkpoint_every=request.checkpoint_every,
        log_every=request.log_every,
        quality=request.quality,
        quiet=request.quiet,
        writes=is_first_process(),
    )
