"""The loss surface of a saved run: its plane, its marks, and the file that it fills."""

import functools
import hashlib
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.analysis.surfaces import geometry
from nstjax.analysis.surfaces import surface as surfaces
from nstjax.analysis.surfaces.file import (
    REMEDY,
    check_resumable,
    read_surface,
    write_surface,
)
from nstjax.analysis.surfaces.planes import OPTIONS, PLANES, SurfaceRequest, run_images
from nstjax.analysis.surfaces.surface import Evaluator, Marks, Surface, fill
from nstjax.errors import InputError
from nstjax.io.locks import LOCK, held
from nstjax.io.stored import damaged
from nstjax.losses.total import LossOptions
from nstjax.network.architecture import LAYERS
from nstjax.presets.settings import loss_structure
from nstjax.runs.saved_run import SavedRun
from nstjax.runtime.interrupts import requested, saving_on_interrupt
from nstjax.runtime.progress_bar import ProgressBar

LOGGER = logging.getLogger("nstjax")
# A large image takes as long to write as a small batch takes to evaluate.
WRITING_SHARE = 0.1


def compute_surface(
    path: Path,
    run: SavedRun,
    request: SurfaceRequest,
    *,
    batch: int | None = None,
    quiet: bool = False,
) -> Surface:
    """Compute a surface into a file, or the rest of it where the file has a part.

    The file is replaced after a batch of so many nodes, as often as a tenth of the time
    allows, and at the end: whenever the program is killed, there is a surface that can
    be read, plotted and finished. Not all of it is done where a signal has come.

    Raises:
      InputError: the file holds another surface or another process computes it, or
        there is no such plane.
    """
    lock = path.with_name(f".{path.name[:40]}{LOCK}")
    with (
        held(lock, str(path), "wait until it ends, or choose another --output"),
        saving_on_interrupt("stopping after this batch") as begin_saving,
    ):
        evaluator = _evaluator(run.preset.loss)
        surface = _begun_surface(path, run, request, evaluator)
        if surface.done.all():
            LOGGER.info("%s is finished: nothing is left to compute", path)
            return surface
        batch = batch or surfaces.default_batch(*run.image.shape[:2])
        done = np.count_nonzero(surface.done)
        started, writing = time.monotonic(), 0.0
        with ProgressBar(
            total=surface.done.size, initial=done, unit="node", disable=quiet
        ) as bar:
            try:
                for surface in fill(surface, evaluator, run.problem.data, batch):
                    begin_saving()
                    bar.update(np.count_nonzero(surface.done) - bar.n)
                    before = time.monotonic()
                    if writing <= WRITING_SHARE * (before - started):
                        write_surface(path, surface)
                        writing += time.monotonic() - before
                    if requested():
                        break
            finally:
                write_surface(path, surface)
    return surface


def check_same_run(path: Path, surface: Surface, run: SavedRun) -> None:
    """Raise ``InputError`` unless the surface of a file is one of this run's."""
    for name, sha256 in _hashes(run).items():
        if surface.about.get(name) != sha256:
            what = name.removesuffix("_sha256")
            raise InputError(
                f"{path} is a surface of another run (its {what} differs): give one of "
                f"{run.folder}"
            )
    if surface.plane is None or surface.plane.origin.shape != run.image.shape:
        raise damaged(path, "no plane of the run's size", REMEDY)


def _begun_surface(
    path: Path, run: SavedRun, request: SurfaceRequest, evaluator: Evaluator
) -> Surface:
    """The surface in the file, or else a new one that is written there."""
    about = _about(run, request)
    if not path.exists():
        surface = _unknown_surface(run, request, evaluator, about)
        write_surface(path, surface)
        return surface
    surface = read_surface(path)
    check_resumable(path, surface, about)
    check_same_run(path, surface, run)
    if surface.done.shape != request.grid or (
        surface.values.style_layers.keys() != set(_style_layers(run))
    ):
        raise damaged(path, "another grid or other layers than it says", REMEDY)
    return surface


def _unknown_surface(
    run: SavedRun, request: SurfaceRequest, evaluator: Evaluator, about: dict[str, Any]
) -> Surface:
    """The surface with its plane, its axes and its marks, and no values yet."""
    kind, data = PLANES[request.kind], run.problem.data
    plane = kind.make(run, request)

    def marks(images: dict[Any, np.ndarray]) -> Marks:
        names, pictures = [*map(str, images)], [*images.values()]
        losses = surfaces.image_losses(evaluator, pictures, data)
        return geometry.project(plane, pictures, names, losses)

    points = marks(run_images(run))
    trajectory = marks({**run.snapshots, run.steps: run.image})
    ranges = request.ranges or (kind.span, kind.span)
    if kind.shows and not request.ranges:
        shown = {"points": points, "trajectory": trajectory}[kind.shows]
        ranges = geometry.bounding_range(shown.coordinates)
    s, t = (np.linspace(*ends, n) for ends, n in zip(ranges, request.grid, strict=True))
    return Surface(
        plane=plane,
        s=s,
        t=np.zeros(1) if kind.is_line else t,
        values=surfaces.unknown_values(request.grid, _style_layers(run)),
        done=np.zeros(request.grid, bool),
        points=points,
        trajectories={"run": trajectory},
        weights={
            "alpha": float(data.weights.content),
            "beta": float(data.weights.style),
            "tv": float(data.weights.tv),
        },
        labels=geometry.axis_labels(plane),
        about=about,
    )


def _style_layers(run: SavedRun) -> list[str]:
    targets = run.problem.data.targets
    styles = [targets.style, *(region.style for region in targets.regions)]
    return [layer for layer in LAYERS if any(layer in style for style in styles)]


def _about(run: SavedRun, request: SurfaceRequest) -> dict[str, Any]:
    """``Surface.about``: whose surface it is, and what it is computed with."""
    preset, options = run.preset, PLANES[request.kind].options
    return {
        "nstjax_version": version("nstjax"),
        "jax_version": version("jax"),
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "matmul_precision": "highest",
        **_hashes(run),
        "seed": run.request.seed,
        "flags": {
            name: value
            for name, value in request._asdict().items()
            if name not in OPTIONS or name in options
        },
        "settings": run.settings,
        "config": {
            "content_layers": list(preset.content_layers),
            "content_layer_weights": list(preset.content_layer_weights),
            "style_layers": list(preset.style_layers),
            "style_layer_weights": list(preset.style_layer_weights),
            **loss_structure(preset),
            "pixel_space": "RGB, 0..255 minus the mean of ImageNet",
            "image_hw": list(run.image.shape[:2]),
        },
    }


@functools.lru_cache
def _evaluator(loss: LossOptions) -> Evaluator:
    """One compilation for all surfaces of a structure."""
    return surfaces.make_evaluator(surfaces.true_loss(loss))


def _hashes(run: SavedRun) -> dict[str, str]:
    hashes = {"vgg_sha256": run.network.sha256}
    for name, image in run_images(run).items():
        data = np.ascontiguousarray(image, "<f4").data
        hashes[f"{name}_sha256"] = hashlib.sha256(data).hexdigest()
    return hashes
