"""What is plotted of a loss surface: panels, levels and words, from saved values."""

import math
from typing import NamedTuple

import numpy as np

from nstjax.analysis.convexity.convexity import (
    convex_envelope_gap,
    evaluation_tolerance,
    lattice_midpoint_test,
)
from nstjax.analysis.surfaces.surface import Marks, Surface
from nstjax.errors import InputError

LEVELS = 21
# Relative error of a loss in float32, generously.
ROUNDING = 1e-6
TITLES = {
    "total": "total = α·content + β·style + tv·TV",
    "content": "content, unweighted",
    "style": "style, unweighted",
}


class Levels(NamedTuple):
    """Where contours lie and colors change.

    Attributes:
      values: increasing, float64 [LEVELS].
      log: whether their ratios are equal, rather than their differences.
    """

    values: np.ndarray
    log: bool


def total(surface: Surface, alpha: float, beta: float, tv: float) -> np.ndarray:
    """The weighted loss on the grid: α content + β style + tv TV.

    Returns:
      Shape [nu, nv]; NaN where it is not known yet.

    Raises:
      InputError: a weight is negative or not finite.
    """
    for name, weight in {"alpha": alpha, "beta": beta, "tv": tv}.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"{name} is {weight}: give a number from 0 on")
    values = surface.values
    # Far out a loss overflows; 0 times infinity is not known.
    with np.errstate(invalid="ignore"):
        return alpha * values.content + beta * values.style + tv * values.tv


def convexity_caption(surface: Surface, values: np.ndarray) -> str:
    """How far the grid is from convex, see ``nstjax.analysis.convexity.convexity``."""
    tolerance = evaluation_tolerance(values, ROUNDING)
    test = lattice_midpoint_test(values, tolerance)
    if not test.tested:
        return ""
    gap = convex_envelope_gap(surface.s, surface.t, values)
    return f"{test.fraction:.1%} of nodes above a chord, envelope gap {gap:.0e}"


def panels(
    surface: Surface, alpha: float, beta: float, tv: float
) -> dict[str, np.ndarray]:
    """What is plotted: total, content and style on the grid, NaN where not known.

    Final losses over two settings (``surface.plane`` is None) have no total, since
    every point has weights of its own.

    Raises:
      InputError: a weight is negative or not finite, or no node is evaluated.
    """
    shown = {"content": surface.values.content, "style": surface.values.style}
    if surface.plane is not None:
        shown = {"total": total(surface, alpha, beta, tv), **shown}
    for name, values in shown.items():
        known = surface.done & np.isfinite(values)
        if not known.any():
            raise InputError(
                f"the surface has no node with a finite {name} loss: evaluate it first"
            )
        shown[name] = np.where(known, values, np.nan)
    return shown


def mark_losses(
    marks: Marks, alpha: float, beta: float, tv: float
) -> dict[str, np.ndarray]:
    """The losses of the marked images themselves, by the panels' names, each [k]."""
    content, style, variation = marks.losses.T
    weighted = alpha * content + beta * style + tv * variation
    return {"total": weighted, "content": content, "style": style}


def contour_levels(values: np.ndarray, log: bool = True) -> Levels:
    """Increasing levels between the 1st and the 99th percentile of the finite values.

    Args:
      values: of any shape; NaN is left out.
      log: equal ratios instead of equal differences, where the values are positive.
    """
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99])
    if low == high:
        low, high = finite.min(), finite.max()
    # Levels that float64 does not tell apart would not increase.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = 0.01 * abs(low) or 1.0
        low, high = low - margin, high + margin
    log = log and low > 0
    space = np.geomspace if log else np.linspace
    return Levels(space(low, high, LEVELS), log)


def describe(surface: Surface, alpha: float, beta: float, tv: float) -> str:
    """One line: which plane, its unit, the weights, and how much of it is evaluated."""
    if surface.plane is None:
        parts = ["final losses of runs"]
    else:
        kind = surface.plane.kind
        parts = [
            kind if kind == "line" else f"plane: {kind}",
            f"one unit: r = {surface.plane.unit_length:.5g}",
            f"α = {alpha:g}",
            f"β = {beta:g}",
            f"tv = {tv:g}",
        ]
    return ", ".join([*parts, *incomplete(surface)])


def incomplete(surface: Surface) -> list[str]:
    """How much of a surface is there: ["unfinished (9 of 25 nodes)"]; [] of a whole."""
    if surface.done.all():
        return []
    share = f"{surface.done.sum()} of {surface.done.size}"
    # A run that diverged does not make a sweep unfinished.
    return [f"{share} runs" if surface.plane is None else f"unfinished ({share} nodes)"]


def check_two_dimensional(surface: Surface) -> None:
    """Raise InputError for a line, which is no surface."""
    nu, nv = surface.done.shape
    if min(nu, nv) < 2:
        raise InputError(f"a grid of {nu} by {nv} nodes is no surface but a line")
