"""The losses along a line through image space, each with a chord.

A convex function is nowhere above a chord: the clearest picture of convexity.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nstjax.analysis.surfaces.figure_parts import (
    add_legend,
    draw_points,
    literal,
    new_figure,
)
from nstjax.analysis.surfaces.panels import TITLES, mark_losses, panels
from nstjax.analysis.surfaces.surface import Marks, Surface

# A mark this close to the line, in units of r, is a point of the line.
ON_LINE = 1e-3
# Less than this share of the highest loss is what float32 may be off.
NOISE = 8 * np.finfo(np.float32).eps


def line_figure(
    surface: Surface,
    alpha: float,
    beta: float,
    tv: float,
    *,
    log_height: bool = False,
    title: str = "",
) -> Figure:
    """Total, content and style along a line, with the marked points that lie on it.

    A chord joins the outermost of these points, or the ends of the curve where there
    are not two; where the curve is above it, the space between them is filled. Final
    losses over one setting have neither total nor chord.

    Args:
      surface: of shape [nu, 1], finished or not.
      alpha: content weight.
      beta: style weight.
      tv: weight of total variation.
      log_height: logarithmic heights.
      title: a line above the description.

    Raises:
      InputError: see ``surface_panels.panels``.
    """
    shown = panels(surface, alpha, beta, tv)
    points = _points_on_line(surface.points)
    heights = mark_losses(points, alpha, beta, tv)
    figure = new_figure(surface, alpha, beta, tv, title, len(shown), 4.6)
    for column, (name, values) in enumerate(shown.items()):
        curve = values[:, 0]
        axes = figure.add_subplot(1, len(shown), column + 1)
        axes.plot(surface.s, curve, color="#2c5f8a", marker=".", markersize=2)
        if surface.plane is not None:
            _draw_chord(axes, *chord(surface.s, curve, points, heights[name]))
        draw_points(axes, points, heights[name], "line")
        axes.set_title(TITLES[name], fontsize=11)
        axes.set_xlabel(literal(surface.labels[0]), fontsize=9)
        axes.set_xlim(surface.s[0], surface.s[-1])
        axes.tick_params(labelsize=8)
        if log_height:
            axes.set_yscale("log")
        else:
            axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("loss", fontsize=9)
    add_legend(figure)
    return figure


def chord(
    s: np.ndarray, curve: np.ndarray, points: Marks, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The part of a curve that has a chord, and the chord.

    Args:
      s: coordinates along the line, shape [nu].
      curve: one loss there, shape [nu], NaN where not known.
      points: images on the line, k of them.
      heights: the same loss of these images, shape [k].

    Returns:
      s, curve and chord, all of one length; curve and chord agree at both ends.
    """
    known = np.isfinite(curve)
    ends, end_heights = s[known][[0, -1]], curve[known][[0, -1]]
    if len(points.names) > 1:
        outermost = np.argsort(points.coordinates[:, 0])[[0, -1]]
        ends, end_heights = points.coordinates[outermost, 0], heights[outermost]
    between = known & (s > ends[0]) & (s < ends[1])
    part_s = np.concatenate([ends[:1], s[between], ends[1:]])
    part = np.concatenate([end_heights[:1], curve[between], end_heights[1:]])
    return part_s, part, np.interp(part_s, ends, end_heights)


def _draw_chord(
    axes: Axes, s: np.ndarray, curve: np.ndarray, straight: np.ndarray
) -> None:
    axes.plot(s, straight, "--", color="0.3", linewidth=1, label="chord")
    above = curve - straight > NOISE * np.abs(curve).max()
    if above.any():
        axes.fill_between(
            s,
            curve,
            straight,
            where=above,
            interpolate=True,
            color="#e8432e",
            alpha=0.35,
            linewidth=0,
            label="above the chord, as no convex loss is",
        )


def _points_on_line(points: Marks) -> Marks:
    on_line = np.flatnonzero(points.residuals < ON_LINE)
    return Marks(
        tuple(points.names[index] for index in on_line),
        points.coordinates[on_line],
        points.residuals[on_line],
        points.losses[on_line],
    )
