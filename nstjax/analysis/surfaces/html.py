"""A loss surface as a page to turn with the mouse; needs the extra ``plotly``."""

from typing import Any

import numpy as np

from nstjax.analysis.surfaces import panels
from nstjax.analysis.surfaces.panels import Levels, View
from nstjax.analysis.surfaces.surface import Surface
from nstjax.errors import InputError


def surface_html(surface: Surface, view: View) -> str:
    """Total, content and style in 3-D, with the trajectories and the points.

    The page is whole: nothing is loaded from a network. A mark stands at the height of
    its image's own loss, which is not the surface's where the image is off the plane.
    """
    try:
        from plotly import graph_objects as plotly
        from plotly.subplots import make_subplots
    except ImportError:
        raise InputError(
            "a page of a surface needs plotly: pip install 'nstjax[plotly]'"
        ) from None
    shown = panels.surface_panels(surface, view)
    S, T = np.meshgrid(surface.s, surface.t, indexing="ij")
    figure = make_subplots(
        cols=len(shown),
        specs=[[{"type": "scene"}] * len(shown)],
        subplot_titles=[panels.TITLES[name] for name in shown],
        horizontal_spacing=0.06,
    )
    for column, (name, values) in enumerate(shown.items(), start=1):
        levels = panels.contour_levels(values, view.log or view.log_height)
        trace = plotly.Surface(
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
            trace = plotly.Scatter3d(
                x=marks.coordinates[:, 0],
                y=marks.coordinates[:, 1],
                z=panels.mark_losses(marks, view)[name],
                text=panels.mark_texts(marks, "plane"),
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
        zaxis_type="log" if view.log_height else "linear",
        aspectmode="cube",
    )
    title = "<br>".join(panels.heading(surface, view))
    figure.update_layout(title_text=title, legend={"orientation": "h"})
    # Without a name of its own each page would get a random one.
    return figure.to_html(include_plotlyjs=True, div_id="surface")


def _colors(values: np.ndarray, levels: Levels) -> dict[str, Any]:
    def color(losses: np.ndarray) -> np.ndarray:
        inside = np.clip(losses, *levels.values[[0, -1]])
        return np.log10(inside) if levels.log else inside

    labelled = levels.values[:: len(levels.values) // 4]
    low, high = color(labelled[[0, -1]])
    texts = [f"{level:.3g}" for level in labelled]
    bar = {"tickvals": color(labelled), "ticktext": texts, "len": 0.5, "thickness": 10}
    scale = {"colorscale": "Viridis", "cmin": low, "cmax": high}
    return {"surfacecolor": color(values), **scale, "colorbar": bar}
