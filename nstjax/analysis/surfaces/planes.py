"""Planes and lines through image space, for a loss surface to be looked at.

Images are in the network's units, shape [height, width, 3]. Everything is computed in
float64; a plane's arrays are float32. Directions are made orthonormal by Gram-Schmidt
after whatever else normalizes them, and ``details["raw_cosine"]`` says how far from
orthogonal they were before.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nstjax.analysis.surfaces.surface import Marks, Plane
from nstjax.errors import InputError

Range = tuple[float, float]

LEAST_SINE = 0.05
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
    **details: Any,
) -> Plane:
    """The plane of two directions at an image, whose contrast becomes the unit.

    The first becomes u, and what of the second is orthogonal to it becomes v.
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


def plane_through(result: np.ndarray, content: np.ndarray, style: np.ndarray) -> Plane:
    """The plane of a result x*, its photo c and its painting s, with x* at (0, 0).

    u = (c - x*) / ‖c - x*‖, v = what of s - x* is orthogonal to u;
    ``details["sine"]`` is that of the angle at the result, which must be 0.05 or more.
    """
    check_sizes({"result": result, "content": content, "style": style})
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
    return spanned_plane("plane3", result, to_content, to_style, labels, sine=sine)


def line_through(start: np.ndarray, end: np.ndarray, labels: tuple[str, str]) -> Plane:
    """The line on which s = 0 is the first image and s = 1 the second; v is 0."""
    check_sizes({labels[0]: start, labels[1]: end})
    direction = np.subtract(end, start, dtype=np.float64)
    u = normalized(direction, f"the difference of {labels[0]} and {labels[1]}")
    return Plane(
        kind="line",
        origin=np.asarray(start, np.float32),
        u=np.asarray(u, np.float32),
        v=np.zeros(u.shape, np.float32),
        unit_length=float(np.linalg.norm(direction)),
        labels=(" → ".join(labels), ""),
        details={},
    )


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


def normalized(direction: np.ndarray, what: str) -> np.ndarray:
    """The direction at unit length, in float64; ``InputError`` if there is none."""
    norm = np.linalg.norm(np.asarray(direction, np.float64))
    if not 0 < norm < np.inf:
        raise InputError(f"{what} is 0 or not finite: choose another plane")
    return np.asarray(direction, np.float64) / norm


def check_sizes(images: dict[str, np.ndarray]) -> None:
    """Raise ``InputError`` unless all images have one size."""
    (first, shape), *others = ((name, np.shape(x)) for name, x in images.items())
    for name, other in others:
        if other != shape:
            raise InputError(
                f"{first} and {name} have different sizes "
                f"({shape[1]}x{shape[0]}, {other[1]}x{other[0]}): resize them first"
            )
