"""What the figures of a loss surface have in common."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nstjax.analysis.surfaces.panels import Levels, describe
from nstjax.analysis.surfaces.surface import Marks, Surface

COLOR_MAP = "viridis"
MARKERS = {"content": "o", "style": "s", "result": "*"}
OTHER_MARKERS = "D^vP<>X"
PANEL_INCHES = 5.0
DOTS_PER_INCH = 150


def new_figure(
    surface: Surface,
    alpha: float,
    beta: float,
    tv: float,
    title: str,
    columns: int,
    height: float,
) -> Figure:
    """An empty figure, so many panels wide, with its title above the description."""
    figure = Figure(
        figsize=(PANEL_INCHES * columns, height),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )
    description = textwrap.fill(describe(surface, alpha, beta, tv), 50 * columns)
    figure.suptitle(literal(f"{title}\n{description}".strip()), fontsize=11)
    return figure


def literal(text: str) -> str:
    """Text that came with a file, not to be read as a formula."""
    return text.replace("$", r"\$")


def in_two_lines(label: str) -> str:
    """An axis label with its unit, which stands in brackets, on a line of its own."""
    return "\n(".join(literal(label).rsplit(" (", 1))


def add_color_bar(
    figure: Figure, norm: Normalize, ticks: np.ndarray, levels: Levels, **place: Any
) -> None:
    """A bar below a panel, on which five of the levels are written.

    Args:
      figure: to draw on.
      norm: of the colors.
      ticks: where the levels lie on the norm's scale.
      levels: what they are.
      place: as ``Figure.colorbar`` takes it.
    """
    every = (len(ticks) - 1) // 4
    written = levels.values[::every]
    # As many digits as it takes to tell the levels apart.
    spread = np.ptp(written) / np.abs(written).max()
    digits = 3 + max(0, int(-np.log10(spread)))
    bar = figure.colorbar(
        ScalarMappable(norm, COLOR_MAP), orientation="horizontal", **place
    )
    labels = [_scientific(level, digits) for level in written]
    bar.set_ticks(list(ticks[::every]), labels=labels)
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=7)


def draw_points(axes: Axes, points: Marks, heights: np.ndarray, where: str) -> None:
    """Draw marked images at (s, height); the legend says how far off they are.

    Args:
      axes: to draw on.
      points: images.
      heights: t, or a loss, shape [k].
      where: "plane" or "line".
    """
    others = iter(OTHER_MARKERS * len(points.names))
    for name, s, height, residual in zip(
        points.names, points.coordinates[:, 0], heights, points.residuals, strict=True
    ):
        axes.plot(
            s,
            height,
            linestyle="none",
            marker=MARKERS.get(name) or next(others),
            markersize=12 if name == "result" else 8,
            markerfacecolor="white",
            markeredgecolor="black",
            label=f"{literal(name)} ({residual:.2f} off the {where})",
            zorder=6,
        )


def add_legend(figure: Figure) -> None:
    """One legend below all panels."""
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=5,
            fontsize=8,
            facecolor="0.85",
        )


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if -3 < int(exponent) < 3:
        return f"{value:.{digits}g}"
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"
