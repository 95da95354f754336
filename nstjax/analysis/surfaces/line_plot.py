"""The losses along a line through image space, each with a chord.

A convex function is nowhere above a chord: the clearest picture of convexity.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nstjax.analysis.surfaces import figure_parts
from nstjax.analysis.surfaces.panels import TITLES, View, mark_losses, panels
from nstjax.analysis.surfaces.surface import Marks, Surface

# A mark this close to the line, in units of r, is a point of the line.
ON_LINE = 1e-3
# Less than this share of the highest loss is what float32 may be off.
NOISE = 8 * np.finfo(np.float32).eps


def line_figure(surface: Surface, view: View) -> Figure:
    """Total, content and style along a line, with the marked points that lie on it.

    A chord joins the outermost of these points, or the ends of the curve where there
    are not two; where the curve is above it, the space between them is filled. Final
    losses over one setting have neither total nor chord.
    """
    shown = panels(surface, view)
    on_line = surface.points.residuals < ON_LINE
    names = np.array(surface.points.names, object)[on_line]
    points = Marks(tuple(names), *(column[on_line] for column in surface.points[1:]))
    heights = mark_losses(points, view)
    figure = figure_parts.new_figure(surface, view, len(shown), 4.6)
    for column, (name, values) in enumerate(shown.items()):
        curve = values[:, 0]
        axes = figure.add_subplot(1, len(shown), column + 1)
        axes.plot(surface.s, curve, color="#2c5f8a", marker=".", markersize=2)
        if surface.plane is not None:
            _draw_chord(axes, *_chord(surface.s, curve, points, heights[name]))
        figure_parts.draw_points(axes, points, heights[name], "line")
        axes.set_title(TITLES[name], fontsize=11)
        axes.set_xlabel(figure_parts.literal(surface.labels[0]), fontsize=9)
        axes.set_xlim(surface.s[0], surface.s[-1])
        axes.tick_params(labelsize=8)
        if view.log_height:
            axes.set_yscale("log")
        else:
            axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("loss", fontsize=9)
    figure_parts.add_legend(figure)
    return figure


def _chord(
    s: np.ndarray, curve: np.ndarray, points: Marks, heights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s, curve and chord where there is one; curve and chord agree at both ends."""
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
