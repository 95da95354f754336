"""What the figures of a loss surface have in common."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nstjax.analysis.surfaces.panels import Levels, View, heading, mark_texts
from nstjax.analysis.surfaces.surface import Marks, Surface

COLOR_MAP = "viridis"
MARKERS = {"content": "o", "style": "s", "result": "*"}
OTHER_MARKERS = "D^vP<>X"


def new_figure(surface: Surface, view: View, columns: int, height: float) -> Figure:
    """An empty figure, so many panels wide, with its title above the description."""
    figure = Figure((5 * columns, height), 150, layout="constrained")
    *title, description = heading(surface, view)
    lines = [*title, textwrap.fill(description, 50 * columns)]
    figure.suptitle(literal("\n".join(lines).strip()), fontsize=11)
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

    They lie at ``ticks`` on the norm's scale; ``place`` is as ``Figure.colorbar`` takes
    it.
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
    """Draw marked images at (s, height); the legend says how far off they are."""
    others = iter(OTHER_MARKERS * len(points.names))
    texts, places = mark_texts(points, where), points.coordinates[:, 0]
    columns = zip(points.names, texts, places, heights, strict=True)
    for name, text, s, height in columns:
        axes.plot(
            s,
            height,
            linestyle="none",
            marker=MARKERS.get(name) or next(others),
            markersize=12 if name == "result" else 8,
            markerfacecolor="white",
            markeredgecolor="black",
            label=literal(text),
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
