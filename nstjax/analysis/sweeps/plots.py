"""Figures of a sweep: its front, its curves and its final losses as maps."""

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nstjax.analysis.sweeps import axes as grids
from nstjax.analysis.sweeps.file import Sweep
from nstjax.analysis.sweeps.pareto import knee, non_dominated
from nstjax.errors import InputError

COLOR_MAP = colormaps["viridis"].with_extremes(bad="0.6")
FRONT_NOTE = (
    "The line joins the non-dominated settings: no other is better in both losses.\n"
    "Weighted sums reach only the supported part of the front, its lower convex hull "
    "on linear axes."
)


def pareto_figure(sweep: Sweep) -> Figure:
    """Final content against style, where above 0, with the front and its knee."""
    both = (_ended(sweep, name) for name in ("content", "style"))
    content, style = (np.where(final > 0, final, np.nan) for final in both)
    colors = _colors(sweep)
    figure = _new_figure(6.4, 5.4)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="content loss", ylabel="style loss")
    axes.set_title(_counts(sweep), fontsize=10)
    front = np.flatnonzero(non_dominated(content, style))
    front = front[np.argsort(content[front])]
    axes.plot(content[front], style[front], color="0.45", linewidth=1, zorder=1)
    shown = np.isfinite(content + style)
    places, colored = (content[shown], style[shown]), colors.of_runs[shown]
    axes.scatter(*places, c=colored, edgecolors="black", linewidths=0.4, zorder=2)
    marked = knee(content, style)
    if marked is not None:
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": "#d62728"}
        label = f"knee\n{grids.setting_text(sweep, marked)}"
        place = content[marked], style[marked]
        axes.scatter(*place, s=130, linewidths=1.8, zorder=3, label=label, **ring)
        axes.legend(loc="best")
    axes.grid(alpha=0.25)
    # Within one decade these are long and many.
    axes.tick_params(axis="x", which="minor", rotation=30, labelsize=8)
    _add_color_bar(figure, colors)
    figure.supxlabel(FRONT_NOTE, fontsize=7.5, color="0.3")
    return figure


def curves_figure(sweep: Sweep) -> Figure:
    """Content, style and each style layer over the steps, a line per setting.

    A cross is where a setting diverged.
    """
    log = sweep.log
    panels = {"content": log["content"], "style": log["style"]}
    panels |= {f"style, {name}": losses for name, losses in log["style_layers"].items()}
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = _new_figure(3.2 * columns + 0.8, 2.6 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    colors = _colors(sweep)
    steps = sweep.log["step"]
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for run, curve in enumerate(curves):
            shown = np.isfinite(curve) & (curve > 0)
            color = colors.of_runs[run]
            (line,) = axes.plot(steps[shown], curve[shown], color=color, linewidth=1)
            if sweep.status[run] == "diverged":
                line.set(marker="x", markevery=[-1], markersize=5)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    _add_color_bar(figure, colors)
    figure.supxlabel("step", fontsize=10)
    figure.suptitle(f"Unweighted losses of {_counts(sweep)}", fontsize=11)
    return figure


def heat_map_figure(sweep: Sweep) -> Figure:
    """Final losses over a full grid of two settings; diverged cells are hatched."""
    grid = grids.full_grid(sweep)
    if grid is None:
        raise InputError("a heat map needs a full grid of two settings: sweep one")
    rows, columns = grid.runs.shape
    figure = _new_figure(3 * (2 + 0.28 * min(columns, 16)), 2 + 0.28 * min(rows, 16))
    titles = {"total": "total, weighted", "content": "content", "style": "style"}
    for axes, (name, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        values = _ended(sweep, name)[grid.runs]
        mesh = axes.pcolormesh(values, cmap=COLOR_MAP, norm=_norm(values))
        figure.colorbar(mesh, ax=axes).ax.tick_params(labelsize=8)
        for row, column in np.argwhere(np.isnan(values)):
            cell = Rectangle((column, row), 1, 1, hatch="////")
            cell.set(facecolor="0.9", edgecolor="0.5", linewidth=0)
            axes.add_patch(cell)
        values_of = {axes.xaxis: grid.column_values, axes.yaxis: grid.row_values}
        for axis, numbers in values_of.items():
            every = math.ceil(numbers.size / 10)
            places = np.arange(0, numbers.size, every)
            labels = [grids.number_text(number) for number in numbers[places]]
            axis.set_ticks(places + 0.5, labels, fontsize=8)
        axes.tick_params(axis="x", rotation=90)
        axes.set_title(title, fontsize=10)
    figure.supxlabel(grid.column_name, fontsize=10)
    figure.supylabel(grid.row_name, fontsize=10)
    figure.suptitle(f"Final losses of {_counts(sweep)}", fontsize=11)
    return figure


class _Colors(NamedTuple):
    label: str
    values: np.ndarray
    norm: Normalize
    of_runs: np.ndarray


def _new_figure(width: float, height: float) -> Figure:
    return Figure((width, height), 150, layout="constrained")


def _ended(sweep: Sweep, name: str) -> np.ndarray:
    """A final loss of all runs; NaN of those that diverged."""
    final = sweep.final[name]
    return np.where((sweep.status == "done") & np.isfinite(final), final, np.nan)


def _colors(sweep: Sweep) -> _Colors:
    alpha, beta = grids.weights_of(sweep)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = beta / alpha
    label = "β/α"
    if np.unique(values).size == 1:
        label, values = next(iter(grids.varied(sweep).items()))
    norm = _norm(values)
    if isinstance(norm, LogNorm) and (values == 0).any():
        label += " (grey: 0)"
    return _Colors(label, values, norm, COLOR_MAP(norm(values)))


def _add_color_bar(figure: Figure, colors: _Colors) -> None:
    if np.unique(colors.values).size > 1:
        mappable = ScalarMappable(colors.norm, COLOR_MAP)
        figure.colorbar(mappable, ax=figure.axes, label=colors.label)


def _norm(values: np.ndarray) -> Normalize:
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size and positive.max() > 10 * positive.min():
        return LogNorm(positive.min(), positive.max())
    finite = values[np.isfinite(values)]
    return Normalize(finite.min(), finite.max()) if finite.size else Normalize(0, 1)


def _counts(sweep: Sweep) -> str:
    diverged = np.count_nonzero(sweep.status != "done")
    runs = f"{len(sweep.status)} settings"
    return f"{runs}, {diverged} diverged" if diverged else runs
