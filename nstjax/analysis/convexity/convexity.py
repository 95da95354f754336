"""Convexity tests of a loss from its values on a grid and along segments.

A slice can refute convexity and never prove it. What refutes it here is a secant: a
value above the chord between two others, which no convex function has. Values have
rounding errors of a relative size ε, to be measured by evaluating again in another
batch or in float64: what is below a tolerance τ is no violation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull
from scipy.stats import binomtest

from nstjax.errors import InputError


class LatticeTest(NamedTuple):
    """Result of the midpoint test on a grid.

    ``fraction`` is the share of violations in the ``tested`` nodes, which are the
    midpoint of at least one chord; ``worst`` the most negative second difference over
    the range of the values, at midpoint (i, j), with the chord's ends (di, dj) away: 0
    and None where there is no violation.
    """

    fraction: float
    worst: float
    worst_at: tuple[int, int] | None
    direction: tuple[int, int] | None
    tested: int
    violations: int


class SegmentSummary(NamedTuple):
    """Result of the segment test for one kind of segment.

    ``low`` and ``high`` are the 95 % Wilson interval of the share of violations,
    ``worst`` the largest excess of one, in the loss's own units; 0 without one.
    """

    segments: int
    violations: int
    low: float
    high: float
    worst: float


def tolerances(values: ArrayLike, epsilon: float, axis: int | None = None) -> Any:
    """τ = 8 ε max|f| of all finite values, or along an axis for each segment its own.

    A second difference adds up four errors; the rest is room. With one tolerance for
    all, a segment that ends at an image of huge loss would hide what the others show.
    """
    values = np.asarray(values, np.float64)
    sizes = np.abs(np.where(np.isfinite(values), values, 0.0))
    return 8 * epsilon * sizes.max(axis=axis)


def lattice_midpoint_test(
    values: ArrayLike, tolerance: float, strides: Sequence[int] = (1, 2, 4)
) -> LatticeTest:
    """Test the midpoint inequality on a grid with even spacing.

    For d = (k, 0), (0, k), (k, k) and (k, -k), k a stride, a convex function has

        Z[p + d] + Z[p - d] - 2 Z[p] ≥ 0

    A node is violated where one of these is below -τ. The inequality holds for every
    convex function, smooth or not, so a violation refutes convexity. Z is [nu, nv],
    with nv = 1 for a line; triples with a value that is not finite are not tested.

    Example:
      >>> lattice_midpoint_test([[0.0], [3.0], [2.0]], 0.0).worst
      -1.3333333333333333
    """
    _check_tolerance(tolerance)
    Z = np.asarray(values, np.float64)
    Z = np.where(np.isfinite(Z), Z, np.nan)
    nu, nv = Z.shape
    tested, violated = np.zeros((2, nu, nv), bool)
    lowest, worst_at, direction = 0.0, None, None
    for k in strides:
        padded = np.pad(Z, k, constant_values=np.nan)
        for di, dj in ((k, 0), (0, k), (k, k), (k, -k)):
            ahead = padded[k + di : k + di + nu, k + dj : k + dj + nv]
            behind = padded[k - di : k - di + nu, k - dj : k - dj + nv]
            differences = ahead + behind - 2 * Z
            tested |= np.isfinite(differences)
            violated |= differences < -tolerance
            differences = np.nan_to_num(differences)
            if differences.min() < min(lowest, -tolerance):
                lowest = float(differences.min())
                i, j = np.unravel_index(differences.argmin(), differences.shape)
                worst_at, direction = (int(i), int(j)), (di, dj)
    return LatticeTest(
        fraction=float(violated.sum() / max(tested.sum(), 1)),
        worst=float(lowest / np.ptp(_finite(Z))) if worst_at else 0.0,
        worst_at=worst_at,
        direction=direction,
        tested=int(tested.sum()),
        violations=int(violated.sum()),
    )


def convex_envelope(s: ArrayLike, t: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Largest convex function below Z [nu, nv]: the lower convex hull of (s, t, Z).

    s is [nu] and t [nv], of one node for a line; what is not finite is left out, and
    NaN in the envelope.
    """
    Z = np.asarray(values, np.float64)
    known = np.isfinite(Z)
    z = _finite(Z)
    coordinates = np.stack(
        [axis[known] for axis in np.meshgrid(s, t, indexing="ij")], axis=1
    ).astype(np.float64)
    coordinates -= coordinates.min(0)
    coordinates = coordinates[:, coordinates.max(0) > 0]
    coordinates /= coordinates.max(0)

    # Qhull refuses points on one plane. Without its affine part, a surface that is not
    # affine fills the unit cube.
    basis = np.column_stack([coordinates, np.ones(len(z))])
    weights, _, rank, _ = np.linalg.lstsq(basis, z)
    residual = z - basis @ weights
    scale = np.abs(residual).max()
    envelope = np.full(Z.shape, np.nan)
    if scale <= 64 * np.finfo(np.float64).eps * np.abs(z).max():
        envelope[known] = z
        return envelope

    if rank < basis.shape[1]:
        # The known nodes lie on a slanting line.
        coordinates = coordinates[:, :1]
    envelope[known] = z - scale * _height_above_hull(coordinates, residual / scale)
    return envelope


def convex_envelope_gap(s: ArrayLike, t: ArrayLike, values: ArrayLike) -> float:
    """How far the values are from convex: max(Z - envelope) / range(Z).

    0, up to rounding, if and only if some convex function has these values: on the
    grid the test is complete.

    Example:
      >>> convex_envelope_gap([0, 1, 2], [0], [[0.0], [3.0], [2.0]])
      0.6666666666666666
    """
    Z = np.asarray(values, np.float64)
    extent = np.ptp(_finite(Z))
    if extent == 0:
        return 0.0
    return float(np.nanmax(Z - convex_envelope(s, t, Z)) / extent)


def segment_violations(
    f_a: np.ndarray,
    f_b: np.ndarray,
    f_mid: np.ndarray,
    thetas: ArrayLike,
    tolerance: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Test the chord inequality on m segments between pairs of images a and b.

    excess = f(θ a + (1 - θ) b) - θ f(a) - (1 - θ) f(b), never above 0 for a convex f.
    f_a and f_b are [m], f_mid is [m, k] at θ [k]; τ is [m] or one for all. Returns the
    excess [m, k], and where it is above τ.
    """
    _check_tolerance(tolerance)
    thetas = np.asarray(thetas, np.float64)
    excess = f_mid - np.outer(f_a, thetas) - np.outer(f_b, 1 - thetas)
    return excess, excess > np.reshape(tolerance, (-1, 1))


def summarize_segments(
    excess: np.ndarray, kinds: Sequence[str], tolerance: ArrayLike
) -> dict[str, SegmentSummary]:
    """Count the segments above their chord, by kind, such as "content – style", [m].

    A segment is violated if any of its excesses [m, k] is above τ, shape [m] or one
    for all; one with a value that is not finite is left out.

    Source:
      Wilson (1927), "Probable Inference, the Law of Succession, and Statistical
      Inference", for the interval of a share; 0 to 1 where nothing was counted.
    """
    largest = np.max(excess, axis=1)
    summaries = {}
    for kind in dict.fromkeys(kinds):
        chosen = np.equal(kinds, kind) & np.isfinite(largest)
        above = largest[chosen & (largest > tolerance)]
        count, low, high = int(chosen.sum()), 0.0, 1.0
        if count:
            test = binomtest(len(above), count)
            low, high = map(float, test.proportion_ci(method="wilson"))
        worst = float(above.max(initial=0.0))
        summaries[kind] = SegmentSummary(count, len(above), low, high, worst)
    return summaries


def _height_above_hull(coordinates: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Height of points [n, 1 or 2], z [n] above the lower side of their hull."""
    hull = ConvexHull(np.column_stack([coordinates, z]))
    normals, offsets = hull.equations[:, :-1], hull.equations[:, -1]
    corners = coordinates[hull.simplices]
    areas = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
    cell = np.prod([np.diff(np.unique(axis)).min() for axis in coordinates.T])
    # The sides of the hull are vertical up to rounding: they cover no area, where any
    # triangle of grid nodes covers half a cell or, on uneven grids, less.
    lower = (normals[:, -1] < 0) & (areas > 1e-6 * cell)
    slopes = -normals[lower, :-1] / normals[lower, -1:]
    intercepts = -offsets[lower] / normals[lower, -1]

    height = np.zeros(len(z))
    for index in np.setdiff1d(np.arange(len(z)), hull.simplices[lower]):
        below = np.max(slopes @ coordinates[index] + intercepts)
        height[index] = max(z[index] - below, 0.0)
    return height


def _finite(values: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise InputError("no value of the grid is known: evaluate some nodes first")
    return finite


def _check_tolerance(tolerance: ArrayLike) -> None:
    if not np.all(np.greater_equal(tolerance, 0)):
        raise InputError(f"tolerance is {tolerance!r}: give numbers of at least 0")
