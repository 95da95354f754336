"""Planes along directions that are drawn or computed: noise, trajectory, curvature.

Images are in the network's units, shape [height, width, 3]; x₀ is the plane's origin.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from nstjax.analysis.convexity.curvature import Curvature
from nstjax.analysis.surfaces import planes
from nstjax.analysis.surfaces.planes import spanned_plane
from nstjax.analysis.surfaces.surface import Plane
from nstjax.errors import InputError

Spectrum = Literal["white", "pink"]
Norm = Literal["image", "channel", "none"]

MOST_SNAPSHOTS = 64
# Of the second to the first variance of a trajectory: below, it is a line in float32.
LEAST_VARIANCE_RATIO = 1e-10


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
            noise *= planes.channel_contrasts(origin) / np.linalg.norm(
                noise, axis=(0, 1)
            )
        return noise

    kind, name = {
        "white": ("random", "white noise"),
        "pink": ("random_pink", "1/f noise"),
    }[spectrum]
    labels = f"{name} 1", f"{name} 2"
    plane = spanned_plane(kind, origin, draw(), draw(), labels, seed=seed, norm=norm)
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
    planes.check_sizes({"the last image": origin, **numbered})
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
    return spanned_plane(
        "pca",
        origin,
        first,
        second,
        labels,
        explained_variance_ratio=ratios,
        centering="last image",
        snapshots=len(kept),
    )


def hessian_plane(origin: np.ndarray, ends: Curvature) -> Plane:
    """The directions in which the loss curves most and least at x₀."""
    labels = (
        f"largest Hessian eigenvalue, {ends.largest:.3g}",
        f"smallest Hessian eigenvalue, {ends.smallest:.3g}",
    )
    return spanned_plane(
        "hessian",
        origin,
        ends.largest_vector,
        ends.smallest_vector,
        labels,
        eigenvalues=[ends.largest, ends.smallest],
        residuals=[ends.largest_residual, ends.smallest_residual],
    )


def gradient_plane(origin: np.ndarray, gradient: np.ndarray, seed: int) -> Plane:
    """The gradient of the total loss at x₀, and white noise orthogonal to it."""
    planes.normalized(gradient, "the gradient")
    noise = np.random.default_rng(seed).normal(size=np.shape(origin))
    labels = "gradient", "white noise"
    return spanned_plane("gradient", origin, gradient, noise, labels, seed=seed)


def _pink(noise: np.ndarray) -> np.ndarray:
    height, width, _ = noise.shape
    frequency = np.hypot(
        np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    )
    # The mean, at frequency 0, is left out.
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(noise, axes=(0, 1)) / frequency[:, :, None]
    return np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
