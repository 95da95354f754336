"""A loss surface as a page to turn with the mouse; needs the extra ``plotly``."""

from typing import Any

import numpy as np

from nstjax.analysis.surfaces.panels import (
    TITLES,
    Levels,
    check_two_dimensional,
    contour_levels,
    describe,
    mark_losses,
    panels,
)
from nstjax.analysis.surfaces.surface import Marks, Surface
from nstjax.errors import InputError

COLOR_MAP = "Viridis"


def surface_html(
    surface: Surface,
    alpha: float,
    beta: float,
    tv: float,
    *,
    log: bool = True,
    log_height: bool = False,
    title: str = "",
) -> str:
    """Total, content and style in 3-D, with the trajectories and the points.

    The page is whole: nothing is loaded from a network. A mark stands at the height of
    its image's own loss, which is not the surface's where the image is off the plane.

    Args:
      surface: finished or not.
      alpha: content weight.
      beta: style weight.
      tv: weight of total variation.
      log: logarithmic colors.
      log_height: logarithmic heights too.
      title: a line above the description.

    Raises:
      InputError: plotly is absent, or the surface is a line, or see
        ``surface_panels.panels``.
    """
    try:
        from plotly.graph_objects import Scatter3d
        from plotly.graph_objects import Surface as SurfaceTrace
        from plotly.subplots import make_subplots
    except ImportError:
        raise InputError(
            "a page of a surface needs plotly: pip install 'nstjax[plotly]'"
        ) from None
    check_two_dimensional(surface)
    shown = panels(surface, alpha, beta, tv)
    S, T = np.meshgrid(surface.s, surface.t, indexing="ij")
    figure = make_subplots(
        cols=len(shown),
        specs=[[{"type": "scene"}] * len(shown)],
        subplot_titles=[TITLES[name] for name in shown],
        horizontal_spacing=0.06,
    )
    for column, (name, values) in enumerate(shown.items(), start=1):
        levels = contour_levels(values, log or log_height)
        trace = SurfaceTrace(
            x=S,
            y=T,
            z=values,
            name=name,
            contours_z={"show": True, "usecolormap": True, "project_z": True},
            colorbar_x=(column - 0.08) / len(shown),
            **_colors(values, levels),
        )
        figure.add_trace(trace, row=1, col=column)
        for run, marks in {**surface.trajectories, "points": surface.points}.items():
            trace = Scatter3d(
                x=marks.coordinates[:, 0],
                y=marks.coordinates[:, 1],
                z=mark_losses(marks, alpha, beta, tv)[name],
                text=_words(marks),
                mode="markers+text" if run == "points" else "lines+markers",
                marker_size=4,
                name=run,
                legendgroup=run,
                showlegend=column == 1,
            )
            figure.add_trace(trace, row=1, col=column)
    figure.update_scenes(
        xaxis_title_text=surface.labels[0],
        yaxis_title_text=surface.labels[1],
        zaxis_title_text="loss",
        zaxis_type="log" if log_height else "linear",
        aspectmode="cube",
    )
    description = describe(surface, alpha, beta, tv)
    figure.update_layout(
        title_text="<br>".join(filter(None, [title, description])),
        legend={"orientation": "h"},
    )
    # Without a name of its own each page would get a random one.
    return figure.to_html(include_plotlyjs=True, div_id="surface")


def _colors(values: np.ndarray, levels: Levels) -> dict[str, Any]:
    def color(losses: np.ndarray) -> np.ndarray:
        inside = np.clip(losses, *levels.values[[0, -1]])
        return np.log10(inside) if levels.log else inside

    labelled = levels.values[:: len(levels.values) // 4]
    ends = color(labelled[[0, -1]])
    return {
        "surfacecolor": color(values),
        "cmin": ends[0],
        "cmax": ends[1],
        "colorscale": COLOR_MAP,
        "colorbar": {
            "tickvals": color(labelled),
            "ticktext": [f"{level:.3g}" for level in labelled],
            "len": 0.5,
            "thickness": 10,
        },
    }


def _words(marks: Marks) -> list[str]:
    return [
        f"{name} ({residual:.2f} off the plane)"
        for name, residual in zip(marks.names, marks.residuals, strict=True)
    ]
