"""The planes and lines that a loss surface may lie on: ``PLANES`` is all of them.

Images are in the network's units, shape [height, width, 3]; x₀ is the plane's origin.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import numpy as np

from nstjax.analysis.convexity.curvature import Curvature, extreme_eigenvalues
from nstjax.analysis.surfaces import geometry
from nstjax.analysis.surfaces.geometry import Range, spanned_plane
from nstjax.analysis.surfaces.surface import Plane, term_loss, true_loss
from nstjax.errors import InputError
from nstjax.runs.saved_run import SavedRun

Spectrum = Literal["white", "pink"]
Norm = Literal["image", "channel", "none"]

LEAST_SINE = 0.05
MOST_SNAPSHOTS = 64
# Of the second to the first variance of a trajectory: below, it is a line in float32.
LEAST_VARIANCE_RATIO = 1e-10


class SurfaceRequest(NamedTuple):
    """A surface as somebody asked for it.

    A grid of (n, 1) nodes is a line's, which joins two of "result", "content" and
    "style"; ranges of None are what suits the plane. Seed and norm are of random
    directions, see ``random_plane``.
    """

    kind: str = "plane3"
    grid: tuple[int, int] = (51, 51)
    ranges: tuple[Range, Range] | None = None
    seed: int = 0
    norm: Norm = "image"
    line: tuple[str, str] = ("result", "content")


class PlaneKind(NamedTuple):
    """A plane that people can name.

    Attributes:
      text: what --help says of it.
      make: makes the plane of a run and a request.
      options: those of ``OPTIONS`` that matter to it.
      shows: the run's marks that it must hold where the request has no ranges.
      span: of s and t, where it need not hold any marks.
      is_line: whether it has one direction only.
    """

    text: str
    make: Callable[[SavedRun, SurfaceRequest], Plane]
    options: tuple[str, ...] = ()
    shows: Literal["points", "trajectory"] | None = None
    span: Range = (-1.0, 1.0)
    is_line: bool = False


def run_images(run: SavedRun) -> dict[str, np.ndarray]:
    """The images of a run that planes go through and lines join."""
    return {"result": run.image, "content": run.content, "style": run.style}


def plane_through(result: np.ndarray, content: np.ndarray, style: np.ndarray) -> Plane:
    """The plane of a result x*, its photo c and its painting s, with x* at (0, 0).

    u = (c - x*) / ‖c - x*‖, v = what of s - x* is orthogonal to u;
    ``details["sine"]`` is that of the angle at the result, which must be 0.05 or more.
    """
    geometry.check_sizes({"result": result, "content": content, "style": style})
    to_content = np.subtract(content, result, dtype=np.float64)
    to_style = np.subtract(style, result, dtype=np.float64)
    lengths = {
        "result and content": np.linalg.norm(to_content),
        "result and style": np.linalg.norm(to_style),
        "content and style": np.linalg.norm(to_content - to_style),
    }
    product = lengths["result and content"] * lengths["result and style"]
    cosine = float(np.vdot(to_content, to_style) / product) if product else 1.0
    sine = math.sqrt(max(0.0, 1 - cosine**2))
    if sine < LEAST_SINE:
        what = "result, content and style lie nearly on one line"
        if min(lengths.values()) < LEAST_SINE * max(lengths.values()):
            what = f"{min(lengths, key=lambda pair: lengths[pair])} nearly coincide"
        raise InputError(
            f"{what} (sine of the angle at the result {sine:.2g}, needed "
            f"{LEAST_SINE}): no plane goes through them, choose another one"
        )
    labels = "result → content", "towards style, orthogonal to content"
    return spanned_plane("plane3", result, to_content, to_style, labels, {"sine": sine})


def line_through(start: np.ndarray, end: np.ndarray, labels: tuple[str, str]) -> Plane:
    """The line on which s = 0 is the first image and s = 1 the second; v is 0."""
    geometry.check_sizes({labels[0]: start, labels[1]: end})
    direction = np.subtract(end, start, dtype=np.float64)
    u = geometry.normalized(direction, f"the difference of {labels[0]} and {labels[1]}")
    return Plane(
        kind="line",
        origin=np.asarray(start, np.float32),
        u=np.asarray(u, np.float32),
        v=np.zeros(u.shape, np.float32),
        unit_length=float(np.linalg.norm(direction)),
        labels=(" → ".join(labels), ""),
        details={},
    )


def random_plane(
    origin: np.ndarray, seed: int, spectrum: Spectrum = "white", norm: Norm = "image"
) -> Plane:
    """Two random directions, of kind "random" or "random_pink".

    "white" is Gaussian noise, every pixel on its own; "pink" Gaussian noise whose
    amplitude falls as 1/f, as that of photos does, in each channel. With the norms
    "image" and "channel" a unit is the contrast of the image, of which each channel
    gets its share with "channel"; with "none" it is an RMS of one 8-bit level.
    """
    rng = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        noise = rng.normal(size=np.shape(origin))
        if spectrum == "pink":
            noise = _pink(noise)
        if norm == "channel":
            shares = geometry.channel_contrasts(origin)
            noise *= shares / np.linalg.norm(noise, axis=(0, 1))
        return noise

    kind, name = {
        "white": ("random", "white noise"),
        "pink": ("random_pink", "1/f noise"),
    }[spectrum]
    labels = f"{name} 1", f"{name} 2"
    details = {"seed": seed, "norm": norm}
    plane = spanned_plane(kind, origin, draw(), draw(), labels, details)
    if norm == "none":
        plane = plane._replace(unit_length=math.sqrt(np.size(origin)))
    return plane


def principal_plane(snapshots: Sequence[np.ndarray], origin: np.ndarray) -> Plane:
    """The plane that a trajectory comes closest to, by its principal components.

    X = snapshots - x_T, x_T the last image, and u, v = Xᵀw / ‖Xᵀw‖ for the two
    eigenvectors w of X Xᵀ with the largest eigenvalues; the first snapshot has
    coordinates of 0 or more. Of more than 64 snapshots, 64 or fewer count at
    logarithmic distances. ``details["explained_variance_ratio"]`` are the two
    eigenvalues' shares in the sum of all, about the last image and not about the mean.
    """
    numbered = {f"snapshot {i}": image for i, image in enumerate(snapshots, start=1)}
    geometry.check_sizes({"the last image": origin, **numbered})
    count = len(snapshots)
    kept = list(range(count))
    if count > MOST_SNAPSHOTS:
        places = np.geomspace(1, count, MOST_SNAPSHOTS).round().astype(int)
        kept = (np.unique(places) - 1).tolist()
    X = np.zeros((len(kept), np.size(origin)))
    for row, i in zip(X, kept, strict=True):
        row[:] = np.subtract(snapshots[i], origin, dtype=np.float64).ravel()
    eigenvalues, eigenvectors = np.linalg.eigh(X @ X.T)
    if count < 2 or not eigenvalues[-2] > LEAST_VARIANCE_RATIO * eigenvalues[-1]:
        raise InputError(
            f"the {count} snapshots and the last image do not span a plane: choose a "
            "run with more --snapshots, or another plane"
        )
    first, second = (
        np.copysign(1, w[0]) * (X.T @ w).reshape(np.shape(origin))
        for w in (eigenvectors[:, -1], eigenvectors[:, -2])
    )
    ratios = [float(eigenvalues[-i] / eigenvalues.sum()) for i in (1, 2)]
    labels = (
        f"principal component 1, {ratios[0]:.1%} of the variance",
        f"principal component 2, {ratios[1]:.1%}",
    )
    details = {
        "explained_variance_ratio": ratios,
        "centering": "last image",
        "snapshots": len(kept),
    }
    return spanned_plane("pca", origin, first, second, labels, details)


def hessian_plane(origin: np.ndarray, ends: Curvature) -> Plane:
    """The directions in which the loss curves most and least at x₀."""
    labels = (
        f"largest Hessian eigenvalue, {ends.largest:.3g}",
        f"smallest Hessian eigenvalue, {ends.smallest:.3g}",
    )
    directions = ends.largest_vector, ends.smallest_vector
    details = {
        "eigenvalues": [ends.largest, ends.smallest],
        "residuals": [ends.largest_residual, ends.smallest_residual],
    }
    return spanned_plane("hessian", origin, *directions, labels, details)


def gradient_plane(origin: np.ndarray, gradient: np.ndarray, seed: int) -> Plane:
    """The gradient of the total loss at x₀, and white noise orthogonal to it."""
    noise = np.random.default_rng(seed).normal(size=np.shape(origin))
    labels = "gradient", "white noise"
    return spanned_plane("gradient", origin, gradient, noise, labels, {"seed": seed})


def _pink(noise: np.ndarray) -> np.ndarray:
    height, width, _ = noise.shape
    frequency = np.hypot(
        np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    )
    # The mean, at frequency 0, is left out.
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(noise, axes=(0, 1)) / frequency[:, :, None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))


def _total(run: SavedRun) -> jax.tree_util.Partial:
    loss_fn = true_loss(run.preset.loss)
    total = functools.partial(term_loss, loss_fn, "total")
    return jax.tree_util.Partial(total, run.problem.data)


def _random(spectrum: Spectrum) -> Callable[[SavedRun, SurfaceRequest], Plane]:
    return lambda run, asked: random_plane(run.image, asked.seed, spectrum, asked.norm)


def _principal(run: SavedRun, _: SurfaceRequest) -> Plane:
    return principal_plane(list(run.snapshots.values()), run.image)


def _hessian(run: SavedRun, _: SurfaceRequest) -> Plane:
    return hessian_plane(run.image, extreme_eigenvalues(_total(run), run.image))


def _gradient(run: SavedRun, request: SurfaceRequest) -> Plane:
    with jax.default_matmul_precision("highest"):
        gradient = jax.jit(lambda loss, image: jax.grad(loss)(image))
        return gradient_plane(run.image, gradient(_total(run), run.image), request.seed)


def _line(run: SavedRun, request: SurfaceRequest) -> Plane:
    start, end = (run_images(run)[name] for name in request.line)
    return line_through(start, end, request.line)


OPTIONS = ("seed", "norm", "line")
PLANES = {
    "plane3": PlaneKind(
        "through result, content and style",
        lambda run, _: plane_through(**run_images(run)),
        shows="points",
    ),
    "random": PlaneKind("white noise", _random("white"), ("seed", "norm")),
    "random_pink": PlaneKind("1/f noise", _random("pink"), ("seed", "norm")),
    "pca": PlaneKind(
        "principal components of the snapshots", _principal, shows="trajectory"
    ),
    "hessian": PlaneKind("most and least curved directions", _hessian),
    "gradient": PlaneKind("the gradient and noise", _gradient, ("seed",)),
    "line": PlaneKind("see --line", _line, ("line",), span=(-0.5, 1.5), is_line=True),
}
