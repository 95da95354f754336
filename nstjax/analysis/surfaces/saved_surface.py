"""The loss surface of a saved run: its plane, its marks, and the file that it fills."""

import dataclasses
import functools
import hashlib
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.analysis.convexity.curvature import extreme_eigenvalues
from nstjax.analysis.surfaces import directions, planes
from nstjax.analysis.surfaces.file import (
    REMEDY,
    check_resumable,
    read_surface,
    write_surface,
)
from nstjax.analysis.surfaces.request import SurfaceRequest
from nstjax.analysis.surfaces.surface import (
    Evaluator,
    Marks,
    Plane,
    Surface,
    default_batch,
    fill,
    image_losses,
    make_evaluator,
    unknown_values,
)
from nstjax.errors import InputError
from nstjax.io.locks import LOCK, held
from nstjax.io.stored import damaged
from nstjax.losses.objective import loss_function
from nstjax.losses.total import LossOptions
from nstjax.network.architecture import LAYERS
from nstjax.presets.preset import Preset
from nstjax.presets.settings import loss_structure
from nstjax.runs.saved_run import SavedRun
from nstjax.runtime.interrupts import requested, saving_on_interrupt
from nstjax.runtime.progress_bar import ProgressBar

LOGGER = logging.getLogger("nstjax")
LINE_RANGE = (-0.5, 1.5)
# A large image takes as long to write as a small batch takes to evaluate.
WRITING_SHARE = 0.1
# What matters to which planes alone.
ONLY_OF = {
    "seed": ("random", "random_pink", "gradient"),
    "norm": ("random", "random_pink"),
    "line": ("line",),
}


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
        evaluator = _evaluator(true_loss(run.preset))
        surface = _begun_surface(path, run, request, evaluator)
        if surface.done.all():
            LOGGER.info("%s is finished: nothing is left to compute", path)
            return surface
        batch = batch or default_batch(*run.image.shape[:2])
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
    plane, data = make_plane(run, request), run.problem.data

    def marks(images: dict[str, np.ndarray]) -> Marks:
        pictures = list(images.values())
        losses = image_losses(evaluator, pictures, data)
        return planes.project(plane, pictures, list(images), losses)

    points = marks(_images(run))
    snapshots = {**run.snapshots, run.steps: run.image}
    trajectory = marks({str(step): image for step, image in snapshots.items()})
    s_range, t_range = request.ranges or _default_ranges(plane, points, trajectory)
    nu, nv = request.grid
    return Surface(
        plane=plane,
        s=np.linspace(*s_range, nu),
        t=np.zeros(1) if plane.kind == "line" else np.linspace(*t_range, nv),
        values=unknown_values((nu, nv), _style_layers(run)),
        done=np.zeros((nu, nv), bool),
        points=points,
        trajectories={"run": trajectory},
        weights={
            "alpha": float(data.weights.content),
            "beta": float(data.weights.style),
            "tv": float(data.weights.tv),
        },
        labels=planes.axis_labels(plane),
        about=about,
    )


def _style_layers(run: SavedRun) -> list[str]:
    targets = run.problem.data.targets
    styles = [targets.style, *(region.style for region in targets.regions)]
    return [layer for layer in LAYERS if any(layer in style for style in styles)]


def make_plane(run: SavedRun, request: SurfaceRequest) -> Plane:
    """The plane of a request, at the run's last image."""
    kind, images = request.kind, _images(run)
    if kind == "plane3":
        return planes.plane_through(**images)
    if kind == "line":
        start, end = request.line
        return planes.line_through(images[start], images[end], request.line)
    if kind == "pca":
        return directions.principal_plane(list(run.snapshots.values()), run.image)
    if kind == "random" or kind == "random_pink":
        spectrum: directions.Spectrum = "white" if kind == "random" else "pink"
        return directions.random_plane(run.image, request.seed, spectrum, request.norm)
    loss_fn = loss_function(true_loss(run.preset))

    def total(data: tuple, image: Array) -> Array:
        return loss_fn(image, jnp.zeros((), jnp.int32), *data)[0]

    if kind == "gradient":
        with jax.default_matmul_precision("highest"):
            gradient = jax.jit(jax.grad(total, argnums=1))(run.problem.data, run.image)
        return directions.gradient_plane(run.image, gradient, request.seed)
    loss = jax.tree_util.Partial(total, run.problem.data)
    return directions.hessian_plane(run.image, extreme_eigenvalues(loss, run.image))


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


def true_loss(preset: Preset) -> LossOptions:
    """The preset's loss, with the true gradient where it is normalized."""
    return dataclasses.replace(preset.loss, normalize_gradients=False)


def _about(run: SavedRun, request: SurfaceRequest) -> dict[str, Any]:
    """``Surface.about``: whose surface it is, and what it is computed with."""
    preset = run.preset
    height, width, _ = run.image.shape
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
            if request.kind in ONLY_OF.get(name, (request.kind,))
        },
        "settings": run.settings,
        "config": {
            "content_layers": list(preset.content_layers),
            "content_layer_weights": list(preset.content_layer_weights),
            "style_layers": list(preset.style_layers),
            "style_layer_weights": list(preset.style_layer_weights),
            **loss_structure(preset),
            "pixel_space": "RGB, 0..255 minus the mean of ImageNet",
            "image_hw": [height, width],
        },
    }


@functools.lru_cache
def _evaluator(loss: LossOptions) -> Evaluator:
    """One compilation for all surfaces of a structure."""
    return make_evaluator(loss_function(loss))


def _images(run: SavedRun) -> dict[str, np.ndarray]:
    return {"result": run.image, "content": run.content, "style": run.style}


def _hashes(run: SavedRun) -> dict[str, str]:
    images = {
        f"{name}_sha256": np.ascontiguousarray(image, "<f4").data
        for name, image in _images(run).items()
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in images.items()}
    return {**hashes, "vgg_sha256": run.network.sha256}


def _default_ranges(
    plane: Plane, points: Marks, trajectory: Marks
) -> tuple[planes.Range, planes.Range]:
    if plane.kind == "line":
        return LINE_RANGE, LINE_RANGE
    shown = {"plane3": points, "pca": trajectory}
    if plane.kind in shown:
        return planes.bounding_range(shown[plane.kind].coordinates)
    return (-1.0, 1.0), (-1.0, 1.0)
