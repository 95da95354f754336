"""A run read back from its folder, with the problem that it solved."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.io.config import read_config
from nstjax.io.images import read_image
from nstjax.io.run_log import read_run
from nstjax.io.stored import check_file
from nstjax.io.weights import LoadedParams, load_network
from nstjax.network.vgg import preprocess
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import content_in_color, fit, style_in_color
from nstjax.problem.problem import Problem
from nstjax.problem.pyramid import plan_scales
from nstjax.runs.inputs import make_problem, read_inputs
from nstjax.runs.request import Request, file_sha256, input_paths, recorded_request
from nstjax.runs.run_files import FILES

LOGGER = logging.getLogger("nstjax")


class SavedRun(NamedTuple):
    """A run as its folder has it; images in the network's units, [height, width, 3]."""

    folder: Path
    settings: dict[str, Any]  # see nstjax.runs.request.run_settings
    request: Request
    preset: Preset
    network: LoadedParams
    problem: Problem  # the last scale; its data is what the loss takes
    content: np.ndarray  # the photo as the transfer saw it
    style: np.ndarray  # the first painting at the photo's size
    snapshots: dict[int, np.ndarray]  # {step: image}, those of the last scale
    image: np.ndarray  # the last one, after so many steps
    steps: int


def read_saved_run(folder: Path, weights: str | None = None) -> SavedRun:
    """Read a run of ``nstjax --workdir=FOLDER`` and prepare its problem again.

    ``weights`` is the network, where it is not found as the run found it; a picture or
    network that is gone or has changed is refused.
    """
    config = read_config(folder)
    settings = config["settings"]
    if config.get("request") is None:
        raise InputError(
            f"the run in {folder} does not say where its pictures are: resume it once "
            "with this version of nstjax"
        )
    request = recorded_request(config["request"], folder)
    logged = read_run(folder)
    hashes = settings.get("image_sha256", {})
    for name, path in input_paths(request).items():
        words = name.replace("_", " ")
        check_file(path, f"put the {words} of the run in {folder} back")
        if file_sha256(path) != hashes.get(name):
            raise InputError(
                f"{words} is not the picture of the run in {folder} any more: put that "
                "one back"
            )
    inputs = read_inputs(request)
    last = plan_scales(inputs.content.shape[:2], request.preset)[-1]
    size = (last.height, last.width)
    if logged.image.shape[:2] != size:
        raise InputError(
            f"the run in {folder} has not reached its last scale: resume it first"
        )
    recorded = config.get("weights", "")
    if weights is None:
        weights = recorded if Path(recorded).is_file() else request.weights
    network = load_network(weights, seed=request.seed)
    expected = settings.get("weights_sha256", "")
    if network.sha256 != expected:
        raise InputError(
            f"{network.source} is not the network of the run ({recorded}, sha256 "
            f"{expected[:12]}): pass that one as --weights=FILE"
        )
    if request.fine_style:
        inputs = inputs._replace(styles=[read_image(request.outputs.mixed_style)])
    problem = make_problem(inputs, network.params, request)
    problem = problem.at_scale(len(problem.scales) - 1, None)
    preset, photo = request.preset, problem.original.photo
    shape, found = logged.image.shape, logged.snapshots
    snapshots = {step: found[step] for step in found if found[step].shape == shape}
    if left_out := len(found) - len(snapshots):
        LOGGER.info("%d snapshots of smaller scales are left out", left_out)
    style = style_in_color(fit(inputs.styles[0], *size, preset), photo, preset)
    return SavedRun(
        *(folder, settings, request, preset, network, problem),
        content=np.asarray(preprocess(content_in_color(photo, preset))),
        style=np.asarray(preprocess(style)),
        snapshots=snapshots,
        image=logged.image,
        steps=logged.steps,
    )


def recorded_inputs(folder: Path) -> list[Path]:
    """Every file that a run's picture was made of, and those that tell of the run."""
    paths = [folder / name for name in FILES]
    if not paths[0].exists():
        return paths
    config = read_config(folder)
    if weights := config.get("weights"):
        paths.append(Path(weights))
    if record := config.get("request"):
        request = recorded_request(record, folder)
        paths += [Path(path) for path in input_paths(request).values()]
        paths += [Path(request.weights), request.outputs.mixed_style]
    return paths
