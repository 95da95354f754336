"""Loss surfaces that are made up, and figures of them as pixels."""

import json

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from nstjax.analysis.surfaces.geometry import project
from nstjax.analysis.surfaces.surface import (
    Marks,
    Plane,
    Surface,
    SurfaceValues,
    unknown_values,
)

S, T = np.linspace(-1, 2, 4), np.linspace(0, 1, 6)
GRID = np.meshgrid(S, T, indexing="ij")
# One of these is off the plane.
POINTS = {"content": (1.0, 0.5, 0.0), "result": (0.0, 0.0, 0.0), "seed 2": (1, 1, 0.25)}


def tilted(s, t):
    return s + 10 * t


def bowl(s, t):
    """Over six powers of ten, and 0 at the result."""
    return 1e6 * (s**2 + t**2)


def make_surface(content=tilted, style=bowl, s=S, t=T, kind="plane3", nodes=None):
    def tv(s, t):
        return 3 + s * t

    def marks(names, places):
        places = np.array(places, float).reshape(-1, 3)
        losses = [function(*places[:, :2].T) for function in (content, style, tv)]
        return Marks(tuple(names), places[:, :2], places[:, 2], np.stack(losses, 1))

    grid = np.meshgrid(s, t, indexing="ij")
    nodes = grid[0].size if nodes is None else nodes
    done = np.arange(grid[0].size).reshape(grid[0].shape) < nodes

    def known(function):
        return np.where(done, function(*grid), np.nan)

    layers = {"relu5_1": known(style), "conv1_1": known(tv)}
    values = SurfaceValues(known(content), known(style), known(tv), layers, done * 0.25)
    image = np.zeros((2, 2, 3), np.float32)
    image[0, 0, 0] = 1
    directions = image, np.roll(image, 1)
    details = {"raw_cosine": 0.25}
    plane = Plane(kind, image, *directions, 1234.5, ("u", "v"), details)
    path = [(2 - k / 4, (k / 8) ** 2, 1 - k / 8) for k in range(9)]
    return Surface(
        plane,
        s,
        t,
        values,
        done,
        marks(POINTS, list(POINTS.values())),
        {"run": marks([str(2**k) for k in range(9)], path)},
        {"alpha": 1.0, "beta": 0.5, "tv": 0.0},
        ("toward content (1 = 356 levels RMS)", "toward style (1 = 356 levels RMS)"),
        {"vgg_sha256": "0"},
    )


def make_line(content):
    return make_surface(content, s=np.linspace(-1, 2, 31), t=np.zeros(1), kind="line")


def empty_surface(plane, s, t, layers):
    """A surface that knows nothing yet."""
    shape, weights = (len(s), len(t)), {"alpha": 1.0, "beta": 1.0, "tv": 0.0}
    return Surface(
        plane,
        s,
        t,
        unknown_values(shape, layers),
        np.zeros(shape, bool),
        project(plane, [], (), []),
        {},
        weights,
        ("s", "t"),
        {},
    )


def check_orthonormal(plane):
    u, v = np.float64(plane.u), np.float64(plane.v)
    assert plane.origin.dtype == plane.u.dtype == plane.v.dtype == np.float32
    products = [np.vdot(u, u), np.vdot(v, v), np.vdot(u, v)]
    np.testing.assert_allclose(products, [1, 1, 0], atol=1e-6)


def render(figure, layout=True):
    """Pixels, and the panels' boxes in them: {title: (rows, columns)}."""
    if not layout:
        # It takes most of the time, and moves the axes only.
        figure.set_layout_engine("none")
    figure.set_dpi(50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    boxes = {}
    for axes in panels_of(figure):
        left, bottom, right, top = axes.get_window_extent().extents.astype(int)
        height = len(pixels)
        name = axes.get_title().split("\n")[0]
        boxes[name] = np.s_[height - top : height - bottom, left:right]
    return pixels, boxes


def panels_of(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def cells_of(axes):
    """The surface's cells, as they are projected."""
    drawn = [c for c in axes.collections if isinstance(c, Poly3DCollection)]
    return drawn[0].get_paths()


def colored(pixels):
    """Share of the pixels that are neither white, grey nor black."""
    return (np.ptp(pixels, axis=-1) > 0.2).mean()


def figure_of(page):
    """The traces and the layout that a page holds."""
    decoder, text = json.JSONDecoder(), page[page.rindex("Plotly.newPlot(") :]
    traces, end = decoder.raw_decode(text, text.index("["))
    layout, _ = decoder.raw_decode(text, text.index("{", end))
    return traces, layout
