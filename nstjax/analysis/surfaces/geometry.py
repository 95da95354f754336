"""Planes through image space: their directions, their points, and what lies on them.

Images are in the network's units, shape [height, width, 3]. Everything is computed in
float64; a plane's arrays are float32.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nstjax.analysis.surfaces.surface import Marks, Plane
from nstjax.errors import InputError

Range = tuple[float, float]

# RMS in 8-bit levels, below which an image is flat but for rounding.
LEAST_CONTRAST = 1e-3
# Of the extent, on each side of what a plane has to show.
MARGIN = 0.3


def contrast(image: np.ndarray) -> float:
    """The contrast r = ‖x - mean(x)‖₂, the mean being each channel's."""
    norm = float(np.linalg.norm(channel_contrasts(image)))
    if not norm > LEAST_CONTRAST * math.sqrt(np.size(image)):
        raise InputError(
            "the image at the plane's origin is flat, so its contrast is no unit: "
            "choose a run whose result shows something"
        )
    return norm


def channel_contrasts(image: np.ndarray) -> np.ndarray:
    """‖x_c - mean(x_c)‖₂ of each channel."""
    image = np.asarray(image, np.float64)
    return np.linalg.norm(image - image.mean((0, 1), keepdims=True), axis=(0, 1))


def spanned_plane(
    kind: str,
    origin: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    labels: tuple[str, str],
    details: dict[str, Any],
) -> Plane:
    """The plane of two directions at an image, whose contrast becomes the unit.

    The first becomes u, and what of the second is orthogonal to it becomes v
    (Gram-Schmidt); ``details["raw_cosine"]`` says how far from it they were before.
    """
    u = normalized(first, f"the first direction of the plane {kind}")
    second = normalized(second, f"the second direction of the plane {kind}")
    cosine = np.vdot(u, second)
    v = normalized(second - cosine * u, f"the second direction of the plane {kind}")
    return Plane(
        kind=kind,
        origin=np.asarray(origin, np.float32),
        u=np.asarray(u, np.float32),
        v=np.asarray(v, np.float32),
        unit_length=contrast(origin),
        labels=labels,
        details={"raw_cosine": float(cosine), **details},
    )


def normalized(direction: np.ndarray, what: str) -> np.ndarray:
    """The direction at unit length, in float64; ``InputError`` if there is none."""
    norm = np.linalg.norm(np.asarray(direction, np.float64))
    if not 0 < norm < np.inf:
        raise InputError(f"{what} is 0 or not finite: choose another plane")
    return np.asarray(direction, np.float64) / norm


def point(plane: Plane, s: float, t: float) -> np.ndarray:
    """x(s, t) = x₀ + r (s u + t v), in float64: midpoints of points are points."""
    u, v = np.float64(plane.u), np.float64(plane.v)
    return plane.origin + plane.unit_length * (s * u + t * v)


def project(
    plane: Plane,
    images: Sequence[np.ndarray],
    names: Sequence[str],
    losses: np.ndarray,
) -> Marks:
    """Where images of the plane's size are on it, by orthogonal projection.

    s = ⟨x - x₀, u⟩ / r, t = ⟨x - x₀, v⟩ / r, residual = ‖x - x(s, t)‖₂ / r; the losses
    [k, 3] go with them.
    """
    coordinates, residuals = np.zeros((len(images), 2)), np.zeros(len(images))
    u, v = np.float64(plane.u), np.float64(plane.v)
    for i, image in enumerate(images):
        away = np.subtract(image, plane.origin, dtype=np.float64) / plane.unit_length
        s, t = np.vdot(away, u), np.vdot(away, v)
        coordinates[i] = s, t
        residuals[i] = np.linalg.norm(away - s * u - t * v)
    losses = np.asarray(losses, np.float64).reshape(len(images), 3)
    return Marks(tuple(names), coordinates, residuals, losses)


def bounding_range(coordinates: np.ndarray) -> tuple[Range, Range]:
    """Intervals of s and t that hold all coordinates [k, 2], and a margin."""
    low, high = np.min(coordinates, axis=0), np.max(coordinates, axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def axis_labels(plane: Plane) -> tuple[str, str]:
    """What the axes are, with the RMS that one unit changes an image by."""
    levels = plane.unit_length / math.sqrt(plane.origin.size)
    first, second = (
        f"{label} (1 = {levels:.3g} levels RMS)" if label else ""
        for label in plane.labels
    )
    return first, second


def check_sizes(images: dict[str, np.ndarray]) -> None:
    """Raise ``InputError`` unless all images have one size."""
    (first, shape), *others = ((name, np.shape(x)) for name, x in images.items())
    for name, other in others:
        if other != shape:
            raise InputError(
                f"{first} and {name} have different sizes "
                f"({shape[1]}x{shape[0]}, {other[1]}x{other[0]}): resize them first"
            )
