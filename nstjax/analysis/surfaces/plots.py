"""Figures of a loss surface, from its saved values, for any alpha and beta."""

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from scipy.ndimage import binary_opening

from nstjax.analysis.surfaces import figure_parts, panels
from nstjax.analysis.surfaces.figure_parts import COLOR_MAP, in_two_lines, literal
from nstjax.analysis.surfaces.panels import Levels, View
from nstjax.analysis.surfaces.surface import Marks, Surface
from nstjax.errors import InputError

NOT_EVALUATED = "0.88"
TRAJECTORY_COLORS = ("#e8432e", "#ff9f1c", "#f15bb5", "white")
# Steps are written where they are this far apart, as a share of the map's sides.
STEP_DISTANCE = 0.1
# A mark this close to a line, in units of r, is a point of the line.
ON_LINE = 1e-3
# Less than this share of the highest loss is what float32 may be off.
NOISE = 8 * np.finfo(np.float32).eps


def surface_figure(surface: Surface, view: View) -> Figure:
    """Total, content and style as surfaces in 3-D, their contours projected below."""
    shown = panels.surface_panels(surface, view)
    eye = view.elevation, view.azimuth
    if not np.isfinite(eye).all():
        raise InputError(f"an eye at {eye[0]:g}, {eye[1]:g} degrees: give numbers")
    figure = figure_parts.new_figure(surface, view, len(shown), 5.8)
    # Automatic layouts leave no room for what stands around axes in 3-D.
    figure.set_layout_engine("none")
    width = 1 / len(shown)
    height = 0.78 - 0.04 * len(figure.get_suptitle().splitlines())
    for column, (name, values) in enumerate(shown.items()):
        levels = panels.contour_levels(values, view.log or view.log_height)
        left = column * width
        area = (left, 0.15, 0.95 * width, height)
        axes: Any = figure.add_axes(area, projection="3d")
        axes.set_title(panels.TITLES[name], fontsize=11, pad=-2)
        z, ticks, z_label = _heights(values, levels, view.log_height)
        log_color = levels.log and not view.log_height
        norm = _draw_surface(axes, surface, z, ticks, log_color)
        axes.set_zlabel(z_label, fontsize=8)
        axes.view_init(*eye)
        bar = figure.add_axes((left + 0.15 * width, 0.06, 0.7 * width, 0.022))
        figure_parts.add_color_bar(figure, norm, ticks, levels, cax=bar, extend="both")
    return figure


def map_figure(surface: Surface, view: View) -> Figure:
    """Total, content and style as contour maps, with the trajectories and the points.

    The legend tells how far each point is off the plane, in units of r; the numbers
    beside a trajectory are its steps. What is not evaluated stays grey.
    """
    shown = panels.surface_panels(surface, view)
    figure = figure_parts.new_figure(surface, view, len(shown), 5.6)
    for column, (name, values) in enumerate(shown.items()):
        levels = panels.contour_levels(values, view.log)
        axes = figure.add_subplot(1, len(shown), column + 1)
        caption = panels.convexity_caption(surface, values)
        axes.set_title(f"{panels.TITLES[name]}\n{caption}".rstrip(), fontsize=10)
        norm = _draw_map(axes, surface, values, levels.values)
        colors = itertools.cycle(TRAJECTORY_COLORS)
        for run, marks in surface.trajectories.items():
            _draw_trajectory(axes, run, marks, next(colors))
        t = surface.points.coordinates[:, 1]
        figure_parts.draw_points(axes, surface.points, t, "plane")
        axes.set_xlabel(literal(surface.labels[0]), fontsize=9)
        if column == 0:
            axes.set_ylabel(in_two_lines(surface.labels[1]), fontsize=9)
        axes.tick_params(labelsize=8)
        place = {"ax": axes, "shrink": 0.85, "aspect": 32}
        figure_parts.add_color_bar(figure, norm, levels.values, levels, **place)
    figure_parts.add_legend(figure)
    return figure


def line_figure(surface: Surface, view: View) -> Figure:
    """Total, content and style along a line, with the marked points that lie on it.

    A chord joins the outermost of these points, or the ends of the curve where there
    are not two; where the curve is above it, the space between them is filled. Final
    losses over one setting have neither total nor chord.
    """
    shown = panels.panels(surface, view)
    on_line = surface.points.residuals < ON_LINE
    names = np.array(surface.points.names, object)[on_line]
    points = Marks(tuple(names), *(column[on_line] for column in surface.points[1:]))
    heights = panels.mark_losses(points, view)
    figure = figure_parts.new_figure(surface, view, len(shown), 4.6)
    for column, (name, values) in enumerate(shown.items()):
        curve = values[:, 0]
        axes = figure.add_subplot(1, len(shown), column + 1)
        axes.plot(surface.s, curve, color="#2c5f8a", marker=".", markersize=2)
        if surface.plane is not None:
            _draw_chord(axes, *_chord(surface.s, curve, points, heights[name]))
        figure_parts.draw_points(axes, points, heights[name], "line")
        axes.set_title(panels.TITLES[name], fontsize=11)
        axes.set_xlabel(literal(surface.labels[0]), fontsize=9)
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


def _heights(
    values: np.ndarray, levels: Levels, log_height: bool
) -> tuple[np.ndarray, np.ndarray, str]:
    """Heights of the nodes and of the levels, and what they are."""
    if log_height and levels.log:
        positive = np.maximum(values, values[values > 0].min())
        return np.log10(positive), np.log10(levels.values), r"$\log_{10}$ loss"
    exponent = int(np.floor(np.log10(np.nanmax(np.abs(values)) or 1)))
    unit = 10.0**exponent
    label = rf"loss / $10^{{{exponent}}}$" if exponent else "loss"
    return values / unit, levels.values / unit, label


def _draw_surface(
    axes: Any, surface: Surface, z: np.ndarray, levels: np.ndarray, log_color: bool
) -> Normalize:
    norm = (LogNorm if log_color else Normalize)(levels[0], levels[-1], clip=True)
    colors = {"cmap": COLOR_MAP, "norm": norm}
    low, high = min(np.nanmin(z), levels[0]), max(np.nanmax(z), levels[-1])
    floor = low - 0.45 * (high - low)
    S, T = np.meshgrid(surface.s, surface.t, indexing="ij")
    cells = {"rcount": S.shape[0], "ccount": S.shape[1], "linewidth": 0}
    axes.plot_surface(S, T, z, antialiased=False, rasterized=True, **cells, **colors)
    alone = _isolated(z)
    if alone.any():
        nodes = S[alone], T[alone], z[alone]
        axes.scatter(*nodes, c=z[alone], s=6, depthshade=False, **colors)
    if np.nanmin(z) < np.nanmax(z):
        # A logarithmic norm would not let contours have a 0 among the heights.
        lines = {"cmap": COLOR_MAP, "norm": BoundaryNorm(levels, 256, extend="both")}
        axes.contour(S, T, z, levels, offset=floor, linewidths=0.8, **lines)
    axes.set(xlim=surface.s[[0, -1]], ylim=surface.t[[0, -1]], zlim=(floor, high))
    axes.set_xlabel(in_two_lines(surface.labels[0]), fontsize=8, labelpad=7)
    axes.set_ylabel(in_two_lines(surface.labels[1]), fontsize=8, labelpad=9)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    # None below the surface, where the contours are.
    ticks = MaxNLocator(5).tick_values(low, high)
    axes.set_zticks(ticks[(ticks >= low) & (ticks <= high)])
    axes.zaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.tick_params(labelsize=7)
    return norm


def _draw_map(
    axes: Axes, surface: Surface, values: np.ndarray, levels: np.ndarray
) -> Normalize:
    norm = BoundaryNorm(levels, 256, extend="both")
    colors: dict[str, Any] = {"cmap": COLOR_MAP, "norm": norm}
    S, T = np.meshgrid(surface.s, surface.t, indexing="ij")
    axes.set_facecolor(NOT_EVALUATED)
    axes.contourf(S, T, values, levels, extend="both", **colors)
    alone = _isolated(values)
    if alone.any():
        axes.scatter(S[alone], T[alone], c=values[alone], s=16, clip_on=False, **colors)
    if np.nanmin(values) < np.nanmax(values):
        axes.contour(S, T, values, levels[::2], colors="black", linewidths=0.4)
    axes.set(xlim=surface.s[[0, -1]], ylim=surface.t[[0, -1]])
    return norm


def _isolated(values: np.ndarray) -> np.ndarray:
    """Known nodes that no whole cell has as a corner: only a dot can show them."""
    known = ~np.isnan(values)
    return known & ~binary_opening(known, np.ones((2, 2)))


def _draw_trajectory(axes: Axes, run: str, marks: Marks, color: str) -> None:
    if not marks.names:
        return
    axes.plot(
        *marks.coordinates.T,
        color=color,
        marker=".",
        linewidth=1.2,
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
        label=f"{literal(run)}: steps, up to {marks.residuals.max():.2f} off the plane",
        zorder=4,
    )
    sides = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    written = np.empty((0, 2))
    for step, place in zip(marks.names, marks.coordinates / sides, strict=True):
        if (np.linalg.norm(written - place, axis=1) > STEP_DISTANCE).all():
            written = np.vstack([written, place])
            axes.annotate(
                step,
                place * sides,
                (4, 5),
                textcoords="offset points",
                fontsize=7,
                color="white",
                path_effects=[withStroke(linewidth=2, foreground="black")],
                annotation_clip=True,
                zorder=5,
            )


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
        area: dict[str, Any] = {"color": "#e8432e", "alpha": 0.35, "linewidth": 0}
        area |= {"where": above, "interpolate": True}
        label = "above the chord, as no convex loss is"
        axes.fill_between(s, curve, straight, label=label, **area)


# By the last part of their files' names.
FIGURES = {"line": line_figure, "surfaces": surface_figure, "maps": map_figure}
