"""Plots of loss surfaces: what is on them, and where."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mpl_toolkits.mplot3d import proj3d
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from nstjax.analysis import line_plot, surface_panels, surface_plots
from nstjax.analysis.surface import Marks, Plane, Surface, SurfaceValues
from nstjax.analysis.surface_html import surface_html
from nstjax.errors import InputError
from nstjax.io.surface_file import write_surface

ROOT = Path(__file__).resolve().parents[1]
S, T = np.linspace(-1, 2, 4), np.linspace(0, 1, 6)
GRID = np.meshgrid(S, T, indexing="ij")
# One of these is off the plane.
POINTS = {"content": (1.0, 0.5, 0.0), "result": (0.0, 0.0, 0.0), "seed 2": (1, 1, 0.25)}
NO_MARKS = Marks((), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3)))


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
    done = (np.arange(grid[0].size) < (nodes or grid[0].size)).reshape(grid[0].shape)
    done &= nodes != 0

    def known(function):
        return np.where(done, function(*grid), np.nan)

    values = SurfaceValues(
        known(content), known(style), known(tv), {"relu1_1": known(style)}, done * 0.0
    )
    image = np.zeros((2, 2, 3))
    image[0, 0, 0] = 1
    plane = Plane(kind, image, image, np.roll(image, 1), 1234.5, ("u", "v"), {})
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
        ("toward content (1 = 52.3 levels RMS)", "toward style (1 = 52.3 levels RMS)"),
        {"vgg_sha256": "0"},
    )


@pytest.fixture
def surface():
    return make_surface()


def render(figure):
    """Pixels, and the panels' boxes in them: {title: (rows, columns)}."""
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


# --- panels -------------------------------------------------------------------------


def test_total_is_recombined_from_what_is_saved(surface):
    content, style, tv = tilted(*GRID), bowl(*GRID), 3 + GRID[0] * GRID[1]
    for alpha, beta, weight in ((1, 0, 0), (2.5, 1e-3, 0), (0, 3, 7)):
        found = surface_panels.total(surface, alpha, beta, weight)
        expected = alpha * content + beta * style + weight * tv
        np.testing.assert_allclose(found, expected, rtol=1e-15)
        marked = surface_panels.mark_losses(surface.points, alpha, beta, weight)
        at_content = alpha * 6 + beta * 1.25e6 + weight * 3.5
        np.testing.assert_allclose(marked["total"][0], at_content, rtol=1e-15)


@pytest.mark.parametrize(
    "weights", [(-1, 0, 0), (1, np.nan, 0), (np.inf, 1, 0), (1, 1, -0.1)]
)
def test_weights_are_numbers_from_0_on(surface, weights):
    with pytest.raises(InputError, match=r"(alpha|beta|tv) is .*: give a number"):
        surface_plots.map_figure(surface, *weights)


def test_panels_know_what_is_done_and_finite(surface):
    assert list(surface_panels.panels(surface, 1, 1, 0)) == [
        "total",
        "content",
        "style",
    ]
    done = surface.done.copy()
    done[1, 2] = False
    values = surface.values._replace(style=surface.values.style.copy())
    values.style[3, 4] = np.inf
    shown = surface_panels.panels(surface._replace(done=done, values=values), 1, 1, 0)
    assert np.argwhere(np.isnan(shown["content"])).tolist() == [[1, 2]]
    assert np.argwhere(np.isnan(shown["style"])).tolist() == [[1, 2], [3, 4]]
    assert np.argwhere(np.isnan(shown["total"])).tolist() == [[1, 2], [3, 4]]


def test_a_surface_without_a_node_is_refused():
    with pytest.raises(InputError, match="no node with a finite total loss"):
        surface_plots.surface_figure(make_surface(nodes=0), 1, 1, 0)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        np.geomspace(1e-3, 1e9, 50),
        np.linspace(-5, 5, 50),
        np.linspace(0, 5, 50),
        np.array([3.0, np.nan, 3.0]),
        np.zeros(4),
        1 + 1e-12 * np.arange(4),
        1 + 1e-4 * np.arange(4),
        np.concatenate([np.full(999, 2.0), [5.0]]),
    ],
)
def test_levels_increase_whatever_the_values_are(values, log):
    levels = surface_panels.contour_levels(values, log)
    steps = np.diff(np.log(levels.values) if levels.log else levels.values)
    assert (steps > 0).all()
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    finite = values[np.isfinite(values)]
    assert levels.log == (log and np.percentile(finite, 1) > 0)
    assert levels.values[0] <= np.median(finite) <= levels.values[-1]


def test_levels_leave_out_the_ends():
    values = np.arange(1.0, 1002.0)
    levels = surface_panels.contour_levels(values, log=False)
    np.testing.assert_allclose(levels.values[[0, -1]], [11, 991])


# --- axes ---------------------------------------------------------------------------


def test_heights_stand_at_their_nodes(surface):
    figure = surface_plots.surface_figure(surface, 1, 0, 0)
    render(figure)
    for axes in panels_of(figure)[:2]:
        cells = cells_of(axes)
        assert len(cells) == 3 * 5
        corners = np.concatenate([path.vertices[:4] for path in cells])
        s, t = map(np.ravel, GRID)
        # Heights are in units of 10.
        x, y, _ = proj3d.proj_transform(s, t, tilted(s, t) / 10, axes.get_proj())
        nodes = np.stack([x, y], axis=1)
        distances = np.linalg.norm(corners[:, None] - nodes[None], axis=2)
        assert distances.min(axis=0).max() < 1e-9
        assert distances.min(axis=1).max() < 1e-9
        np.testing.assert_allclose(axes.get_xlim(), (-1, 2))
        np.testing.assert_allclose(axes.get_ylim(), (0, 1))
        assert axes.get_zlim()[1] == pytest.approx(1.2)
        assert "$10^{1}$" in axes.get_zlabel()
        assert axes.get_xlabel().startswith("toward content")
        assert axes.get_ylabel().startswith("toward style")


def test_logarithmic_heights_are_asked_for(surface):
    figure = surface_plots.surface_figure(surface, 0, 1, 0, log_height=True)
    # The bowl's 0 stands with its lowest positive value.
    style = panels_of(figure)[2]
    assert style.get_zlim()[1] == pytest.approx(np.log10(5e6))
    assert "log" in style.get_zlabel()
    assert colored(render(figure)[0]) > 0.02


def test_one_view_for_all(surface):
    figure = surface_plots.surface_figure(surface, 1, 1, 0, elevation=50, azimuth=20)
    assert {(a.elev, a.azim) for a in panels_of(figure)} == {(50, 20)}


def test_contours_of_a_map_lie_where_the_loss_has_their_level(surface):
    axes = panels_of(surface_plots.map_figure(surface, 1, 0, 0))[1]
    lines = axes.collections[1]
    assert not lines.filled
    lengths = []
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        np.testing.assert_allclose(tilted(*path.vertices.T), level, atol=1e-9)
        lengths.append(len(path.vertices))
    assert min(lengths) > 1
    np.testing.assert_allclose([*axes.get_xlim(), *axes.get_ylim()], [-1, 2, 0, 1])


def test_a_map_is_bright_where_the_loss_is_high(surface):
    bare = surface._replace(points=NO_MARKS, trajectories={})
    pixels, boxes = render(surface_plots.map_figure(bare, 1, 0, 0))
    panel = pixels[boxes["content, unweighted"]].sum(axis=-1)
    height, width = panel.shape
    low, right, top = (
        panel[int(row * height), int(column * width)]
        for row, column in ((0.93, 0.05), (0.93, 0.95), (0.07, 0.05))
    )
    # t reaches ten times as far as s does per unit, and a third of its units.
    assert low < right < top


# --- what is said -------------------------------------------------------------------


def test_the_title_says_what_it_is(surface):
    for draw in (surface_plots.surface_figure, surface_plots.map_figure):
        said = draw(surface, 2, 0.5, 0, title="two cats").get_suptitle()
        first, second = said.splitlines()
        assert first == "two cats"
        assert second == "plane: plane3, one unit: r = 1234.5, α = 2, β = 0.5, tv = 0"
    unfinished = surface_plots.map_figure(make_surface(nodes=13), 1, 1, 0)
    assert "unfinished (13 of 24 nodes)" in unfinished.get_suptitle()


def test_marks_are_named_with_their_distance_from_the_plane(surface):
    figure = surface_plots.map_figure(surface, 1, 1, 0)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "run: steps, up to 1.00 off the plane",
        "content (0.00 off the plane)",
        "result (0.00 off the plane)",
        "seed 2 (0.25 off the plane)",
    ]
    for axes in panels_of(figure):
        path, *points = axes.lines
        np.testing.assert_allclose(
            path.get_xydata(), surface.trajectories["run"].coordinates
        )
        for point, (s, t, _) in zip(points, POINTS.values(), strict=True):
            np.testing.assert_allclose(np.ravel(point.get_xydata()), [s, t])
        steps = [int(text.get_text()) for text in axes.texts]
        assert steps[0] == 1
        assert 3 < len(steps) <= 9
        assert steps == sorted(steps)


def test_crowded_steps_are_not_all_written(surface):
    marks = surface.trajectories["run"]
    crowded = marks._replace(coordinates=marks.coordinates * 0.01)
    figure = surface_plots.map_figure(
        surface._replace(trajectories={"run": crowded}), 1, 1, 0
    )
    assert [text.get_text() for text in panels_of(figure)[0].texts] == ["1"]


def test_final_losses_have_no_total():
    weights = make_surface(nodes=13)._replace(
        plane=None, points=NO_MARKS, trajectories={}, weights={}
    )
    for draw in (surface_plots.surface_figure, surface_plots.map_figure):
        figure = draw(weights, 1, 1, 0)
        titles = [axes.get_title().split("\n")[0] for axes in panels_of(figure)]
        assert titles == ["content, unweighted", "style, unweighted"]
        assert figure.get_suptitle() == "final losses of runs, 13 of 24 runs"


# --- what is seen -------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw", [surface_plots.surface_figure, surface_plots.map_figure]
)
def test_every_panel_is_drawn(surface, draw):
    constant = make_surface(lambda s, t: 5 + 0 * s, lambda s, t: 0 * s)
    for shown in (surface, constant, make_surface(nodes=13)):
        pixels, boxes = render(draw(shown, 1, 1e-3, 0))
        assert len(boxes) == 3
        for box in boxes.values():
            assert pixels[box].std() > 0
            assert colored(pixels[box]) > 0.05


def test_unknown_nodes_stay_blank():
    # Two columns of nodes along t, and one node more.
    part = make_surface(nodes=13)._replace(points=NO_MARKS, trajectories={})
    pixels, boxes = render(surface_plots.map_figure(part, 1, 1, 0))
    grey = float(surface_plots.NOT_EVALUATED)
    for box in boxes.values():
        panel = pixels[box]
        width = panel.shape[1]
        known, unknown = panel[:, 5 : width // 4], panel[:, int(0.45 * width) : -5]
        assert colored(known) > 0.9
        is_grey = np.abs(unknown[5:-5] - grey).max(axis=-1) < 0.01
        assert is_grey.mean() > 0.97
        assert not np.isclose(known, grey, atol=0.01).all(axis=-1).any()

    figure = surface_plots.surface_figure(part, 1, 1, 0)
    render(figure)
    for axes in panels_of(figure):
        whole = [np.isfinite(cell.vertices).all() for cell in cells_of(axes)]
        assert whole.count(True) == 5


@pytest.mark.parametrize("nodes", [1, 4])
def test_nodes_without_neighbors_are_dots(nodes):
    part = make_surface(nodes=nodes)._replace(points=NO_MARKS, trajectories={})
    for draw in (surface_plots.surface_figure, surface_plots.map_figure):
        pixels, boxes = render(draw(part, 1, 1, 0))
        for box in boxes.values():
            assert colored(pixels[box]) > 0


# --- a line -------------------------------------------------------------------------


def make_line(content):
    return make_surface(content, s=np.linspace(-1, 2, 31), t=np.zeros(1), kind="line")


def filled(axes):
    return [c for c in axes.collections if c.get_label().startswith("above the chord")]


def test_where_a_curve_is_above_its_chord_is_filled():
    def concave(s, t):
        return 7 - s**2

    def straight(s, t):
        return 0.1 + 0.3 * s

    # content at s = 1, result at s = 0 and seed 2 off the line.
    for curve, count in ((concave, 1), (straight, 0), (bowl, 0)):
        figure = line_plot.line_figure(make_line(curve), 1, 0, 0)
        content = panels_of(figure)[1]
        line, chord, *points = content.lines
        np.testing.assert_allclose(line.get_ydata(), curve(np.linspace(-1, 2, 31), 0))
        np.testing.assert_allclose(chord.get_xdata()[[0, -1]], [0, 1], atol=1e-15)
        ends = chord.get_ydata()[[0, -1]]
        np.testing.assert_allclose(ends, [curve(0, 0), curve(1, 0.5)])
        assert len(points) == 2
        assert len(filled(content)) == count
        assert len(filled(panels_of(figure)[2])) == 0
        pixels, boxes = render(figure)
        assert all(colored(pixels[box]) > 0 for box in boxes.values())


def test_without_points_the_chord_joins_the_ends_of_what_is_known():
    line = make_line(bowl)
    done = line.done.copy()
    done[-1] = False
    figure = line_plot.line_figure(
        line._replace(points=NO_MARKS, done=done), 1, 0, 0, log_height=True
    )
    for axes in panels_of(figure):
        s, losses = axes.lines[1].get_data()
        np.testing.assert_allclose(s[[0, -1]], [-1, 1.9])
        np.testing.assert_allclose(losses[[0, -1]], [1e6, 3.61e6])
        assert axes.get_yscale() == "log"
    assert "line, one unit" in figure.get_suptitle()
    assert "unfinished (30 of 31 nodes)" in figure.get_suptitle()


def test_a_line_is_no_surface():
    line = make_line(bowl)
    for draw in (surface_plots.surface_figure, surface_plots.map_figure, surface_html):
        with pytest.raises(InputError, match="31 by 1 nodes is no surface but a line"):
            draw(line, 1, 1, 0)


# --- a page -------------------------------------------------------------------------


def figure_of(page):
    """The traces and the layout that a page holds."""
    decoder, text = json.JSONDecoder(), page[page.rindex("Plotly.newPlot(") :]
    traces, end = decoder.raw_decode(text, text.index("["))
    layout, _ = decoder.raw_decode(text, text.index("{", end))
    return traces, layout


def coordinates(traces, kind):
    """x, y and z of the first trace of a kind."""
    trace = next(trace for trace in traces if trace["type"] == kind)
    for array in map(trace.get, "xyz"):
        numbers = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        yield numbers.reshape([int(n) for n in array.get("shape", "-1").split(",")])


def test_a_page_has_everything_in_it(surface):
    page = surface_html(surface, 1, 0, 0, title="two cats")
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert len(page) > 1e6
    traces, layout = figure_of(page)
    assert layout["title"]["text"].startswith("two cats<br>plane: plane3, one unit")
    assert [trace["type"] for trace in traces] == ["surface", *["scatter3d"] * 2] * 3
    x, y, z = coordinates(traces, "surface")
    np.testing.assert_array_equal(x, GRID[0])
    np.testing.assert_array_equal(y, GRID[1])
    np.testing.assert_allclose(z, tilted(*GRID))
    x, y, z = coordinates(traces, "scatter3d")
    np.testing.assert_array_equal(x, surface.trajectories["run"].coordinates[:, 0])
    np.testing.assert_allclose(z, tilted(x, y))
    assert page == surface_html(surface, 1, 0, 0, title="two cats")


def test_a_page_of_an_unfinished_surface():
    page = surface_html(make_surface(nodes=13), 1, 1, 0, log_height=True)
    traces, layout = figure_of(page)
    *_, z = coordinates(traces, "surface")
    assert np.isnan(z).sum() == 11
    assert "13 of 24 nodes" in layout["title"]["text"]
    assert layout["scene"]["zaxis"]["type"] == "log"


def test_without_plotly_there_is_no_page(surface, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(InputError, match=r"pip install 'nstjax\[plotly\]'"):
        surface_html(surface, 1, 1, 0)


# --- the command --------------------------------------------------------------------

# A network that is read would end the command.
WITHOUT_NETWORK = """
import runpy, sys
import safetensors
import nstjax.io.weights
def read(*arguments, **options):
    raise AssertionError("a network is read")
safetensors.safe_open = nstjax.io.weights.read_params = read
nstjax.io.weights.load_network = nstjax.io.weights.load_params = read
runpy.run_module("experiments.plot_surface", run_name="__main__")
"""


def plot(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_plots_what_is_there_at_another_beta(tmp_path):
    file = tmp_path / "plane3.h5"
    write_surface(file, make_surface(nodes=13))
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    output = f"--output={tmp_path / 'plots'}/"
    status, out, err = plot(file, output, "--beta=1e3", "--format=pdf", "--html")
    assert status == 0, err
    assert err == (
        f"plot_surface: note: {file}: unfinished (13 of 24 nodes), plotted as it is\n"
    )
    names = ["plane3_surfaces.pdf", "plane3_maps.pdf", "plane3_surfaces.html"]
    written = [tmp_path / "plots" / name for name in names]
    assert out.splitlines() == [f"wrote {path}" for path in written]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(written)
    assert written[0].read_bytes().startswith(b"%PDF")
    _, layout = figure_of(written[2].read_text())
    assert "α = 1, β = 1000, tv = 0" in layout["title"]["text"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_the_command_draws_a_line_with_the_run_s_own_weights(tmp_path):
    write_surface(tmp_path / "line.h5", make_line(bowl))
    status, out, err = plot(tmp_path / "line.h5")
    assert status == 0, err
    assert out == f"wrote {tmp_path / 'line_line.png'}\n"
    assert (tmp_path / "line_line.png").read_bytes().startswith(b"\x89PNG")
    assert not err


def test_nothing_is_written_of_a_surface_without_a_node(tmp_path):
    write_surface(tmp_path / "none.h5", make_surface(nodes=0))
    status, _, err = plot(tmp_path / "none.h5")
    assert status == 2
    assert err == (
        "plot_surface: error: the surface has no node with a finite total loss: "
        "evaluate it first\n"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "none.h5"]
