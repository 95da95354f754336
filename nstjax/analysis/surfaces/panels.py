"""What is plotted of a loss surface: panels, levels and words, from saved values.

Heights are linear unless asked otherwise, since a logarithm bends a bowl until it looks
non-convex; colors are logarithmic, since losses span powers of ten. Final losses over
two settings (``surface.plane`` is None) have no total, since every point has weights of
its own.
"""

from typing import NamedTuple

import numpy as np

from nstjax.analysis.convexity import convexity
from nstjax.analysis.surfaces.surface import Marks, Surface, total
from nstjax.errors import InputError

LEVELS = 21
# Relative error of a loss in float32, generously.
ROUNDING = 1e-6
TITLES = {
    "total": "total = α·content + β·style + tv·TV",
    "content": "content, unweighted",
    "style": "style, unweighted",
}


class View(NamedTuple):
    """How somebody looks at a surface.

    The weights make the total loss. With ``log`` colors and contours are logarithmic,
    with ``log_height`` heights as well. The eye is in degrees, and the title is a line
    above the description.
    """

    alpha: float
    beta: float
    tv: float = 0.0
    log: bool = True
    log_height: bool = False
    elevation: float = 30
    azimuth: float = -60
    title: str = ""


class Levels(NamedTuple):
    """Where contours lie and colors change, [LEVELS], and whether at equal ratios."""

    values: np.ndarray
    log: bool


def panels(surface: Surface, view: View) -> dict[str, np.ndarray]:
    """What is plotted: total, content and style on the grid, NaN where not known."""
    shown = {"content": surface.values.content, "style": surface.values.style}
    if surface.plane is not None:
        shown = {"total": total(surface, view.alpha, view.beta, view.tv), **shown}
    for name, values in shown.items():
        known = surface.done & np.isfinite(values)
        if not known.any():
            raise InputError(
                f"the surface has no node with a finite {name} loss: evaluate it first"
            )
        shown[name] = np.where(known, values, np.nan)
    return shown


def surface_panels(surface: Surface, view: View) -> dict[str, np.ndarray]:
    """``panels`` of a surface; a line is refused."""
    nu, nv = surface.done.shape
    if min(nu, nv) < 2:
        raise InputError(f"a grid of {nu} by {nv} nodes is no surface but a line")
    return panels(surface, view)


def mark_losses(marks: Marks, view: View) -> dict[str, np.ndarray]:
    """The losses of the marked images themselves, by the panels' names, each [k]."""
    content, style, variation = marks.losses.T
    weighted = view.alpha * content + view.beta * style + view.tv * variation
    return {"total": weighted, "content": content, "style": style}


def mark_texts(marks: Marks, where: str) -> list[str]:
    """The names of marked images, with their distance from the plane or line."""
    return [
        f"{name} ({residual:.2f} off the {where})"
        for name, residual in zip(marks.names, marks.residuals, strict=True)
    ]


def contour_levels(values: np.ndarray, log: bool = True) -> Levels:
    """Increasing levels between the 1st and the 99th percentile of the finite values.

    With ``log`` their ratios are equal, where the values are positive.
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


def convexity_caption(surface: Surface, values: np.ndarray) -> str:
    """How far a plane's loss is from convex; nothing of other surfaces."""
    tolerance = convexity.tolerances(values, ROUNDING)
    test = convexity.lattice_midpoint_test(values, tolerance)
    if surface.plane is None or not test.tested:
        return ""
    gap = convexity.convex_envelope_gap(surface.s, surface.t, values)
    return f"{test.fraction:.1%} of nodes above a chord, envelope gap {gap:.0e}"


def heading(surface: Surface, view: View) -> list[str]:
    """The title, and which plane, its unit, the weights, how much is evaluated."""
    parts = ["final losses of runs"]
    if surface.plane is not None:
        kind = surface.plane.kind
        parts = [
            kind if surface.done.shape[1] == 1 else f"plane: {kind}",
            f"one unit: r = {surface.plane.unit_length:.5g}",
            f"α = {view.alpha:g}",
            f"β = {view.beta:g}",
            f"tv = {view.tv:g}",
        ]
    description = ", ".join([*parts, *incomplete(surface)])
    return [view.title, description] if view.title else [description]


def incomplete(surface: Surface) -> list[str]:
    """How much of a surface is there: ["unfinished (9 of 25 nodes)"]; [] of a whole."""
    if surface.done.all():
        return []
    share = f"{surface.done.sum()} of {surface.done.size}"
    # A run that diverged does not make a sweep unfinished.
    return [f"{share} runs" if surface.plane is None else f"unfinished ({share} nodes)"]
