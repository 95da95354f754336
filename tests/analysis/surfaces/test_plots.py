"""Plots of loss surfaces: what is on them, and where."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d import proj3d
from surfaces import (
    GRID,
    POINTS,
    bowl,
    cells_of,
    colored,
    make_line,
    make_surface,
    panels_of,
    render,
    tilted,
)

from nstjax.analysis.surfaces.panels import View
from nstjax.analysis.surfaces.plots import (
    NOT_EVALUATED,
    line_figure,
    map_figure,
    surface_figure,
)
from nstjax.analysis.surfaces.surface import NO_MARKS
from nstjax.errors import InputError

EQUAL = View(1, 1)


@pytest.fixture
def surface():
    return make_surface()


def bare(nodes=None):
    return make_surface(nodes=nodes)._replace(points=NO_MARKS, trajectories={})


def check_drawn(pixels, boxes):
    assert len(boxes) == 3
    for box in boxes.values():
        assert pixels[box].std() > 0
        assert colored(pixels[box]) > 0.05


def test_heights_stand_at_their_nodes(surface):
    figure = surface_figure(surface, View(1, 0))
    check_drawn(*render(figure))
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


def test_logarithmic_heights_and_an_eye_are_asked_for(surface):
    view = View(0, 1, log_height=True, elevation=50, azimuth=20)
    figure = surface_figure(surface, view)
    assert {(a.elev, a.azim) for a in panels_of(figure)} == {(50, 20)}
    # The bowl's 0 stands with its lowest positive value.
    style = panels_of(figure)[2]
    assert style.get_zlim()[1] == pytest.approx(np.log10(5e6))
    assert "log" in style.get_zlabel()
    assert colored(render(figure, layout=False)[0]) > 0.02
    with pytest.raises(InputError, match="an eye at nan, 20 degrees: give numbers"):
        surface_figure(surface, view._replace(elevation=np.nan))


def test_contours_of_a_map_lie_where_the_loss_has_their_level():
    figure = map_figure(bare(), View(1, 0))
    axes = panels_of(figure)[1]
    lines = axes.collections[1]
    assert not lines.filled
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        np.testing.assert_allclose(tilted(*path.vertices.T), level, atol=1e-9)
        assert len(path.vertices) > 1
    np.testing.assert_allclose([*axes.get_xlim(), *axes.get_ylim()], [-1, 2, 0, 1])
    # It is bright where the loss is high.
    pixels, boxes = render(figure, layout=False)
    panel = pixels[boxes["content, unweighted"]].sum(axis=-1)
    height, width = panel.shape
    low, right, top = (
        panel[int(row * height), int(column * width)]
        for row, column in ((0.93, 0.05), (0.93, 0.95), (0.07, 0.05))
    )
    # t reaches ten times as far as s does per unit, and a third of its units.
    assert low < right < top


def test_the_title_says_what_it_is():
    figure = surface_figure(make_surface(nodes=13), View(2, 0.5, title="two cats"))
    first, second = figure.get_suptitle().splitlines()
    assert first == "two cats"
    plane = "plane: plane3, one unit: r = 1234.5, α = 2, β = 0.5, tv = 0"
    assert second == f"{plane}, unfinished (13 of 24 nodes)"
    weights = bare(13)._replace(plane=None, weights={})
    figure = map_figure(weights, EQUAL)
    titles = [axes.get_title().split("\n")[0] for axes in panels_of(figure)]
    assert titles == ["content, unweighted", "style, unweighted"]
    assert figure.get_suptitle() == "final losses of runs, 13 of 24 runs"


def test_marks_are_named_with_their_distance_from_the_plane(surface):
    figure = map_figure(surface, EQUAL)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "run: steps, up to 1.00 off the plane",
        "content (0.00 off the plane)",
        "result (0.00 off the plane)",
        "seed 2 (0.25 off the plane)",
    ]
    marks = surface.trajectories["run"]
    for axes in panels_of(figure):
        path, *points = axes.lines
        np.testing.assert_allclose(path.get_xydata(), marks.coordinates)
        for point, (s, t, _) in zip(points, POINTS.values(), strict=True):
            np.testing.assert_allclose(np.ravel(point.get_xydata()), [s, t])
        steps = [int(text.get_text()) for text in axes.texts]
        assert steps[0] == 1
        assert 3 < len(steps) <= 9
        assert steps == sorted(steps)
    # Crowded steps are not all written.
    crowded = marks._replace(coordinates=marks.coordinates * 0.01)
    figure = map_figure(
        surface._replace(trajectories={"run": crowded, "none": NO_MARKS}), EQUAL
    )
    assert [text.get_text() for text in panels_of(figure)[0].texts] == ["1"]


@pytest.mark.parametrize("draw", [surface_figure, map_figure])
def test_a_constant_loss_is_drawn(draw):
    constant = make_surface(lambda s, t: 5 + 0 * s, lambda s, t: 0 * s)
    check_drawn(*render(draw(constant, View(1, 1e-3)), layout=False))


def test_unknown_nodes_stay_blank():
    # Two columns of nodes along t, and one node more.
    pixels, boxes = render(map_figure(bare(13), EQUAL), layout=False)
    grey = float(NOT_EVALUATED)
    for box in boxes.values():
        panel = pixels[box]
        width = panel.shape[1]
        known, unknown = panel[:, 5 : width // 4], panel[:, int(0.45 * width) : -5]
        assert colored(known) > 0.9
        is_grey = np.abs(unknown[5:-5] - grey).max(axis=-1) < 0.01
        assert is_grey.mean() > 0.97
        assert not np.isclose(known, grey, atol=0.01).all(axis=-1).any()

    figure = surface_figure(bare(13), EQUAL)
    render(figure, layout=False)
    for axes in panels_of(figure):
        whole = [np.isfinite(cell.vertices).all() for cell in cells_of(axes)]
        assert whole.count(True) == 5


@pytest.mark.parametrize(("nodes", "draw"), [(1, surface_figure), (4, map_figure)])
def test_nodes_without_neighbors_are_dots(nodes, draw):
    pixels, boxes = render(draw(bare(nodes), EQUAL), layout=False)
    for box in boxes.values():
        assert colored(pixels[box]) > 0


def filled(axes):
    return [c for c in axes.collections if c.get_label().startswith("above the chord")]


def test_where_a_curve_is_above_its_chord_is_filled():
    def concave(s, t):
        return 7 - s**2

    def straight(s, t):
        return 0.1 + 0.3 * s

    # content at s = 1, result at s = 0 and seed 2 off the line.
    for curve, count in ((concave, 1), (straight, 0), (bowl, 0)):
        figure = line_figure(make_line(curve), View(1, 0))
        content = panels_of(figure)[1]
        line, chord, *points = content.lines
        np.testing.assert_allclose(line.get_ydata(), curve(np.linspace(-1, 2, 31), 0))
        np.testing.assert_allclose(chord.get_xdata()[[0, -1]], [0, 1], atol=1e-15)
        ends = chord.get_ydata()[[0, -1]]
        np.testing.assert_allclose(ends, [curve(0, 0), curve(1, 0.5)])
        assert len(points) == 2
        assert len(filled(content)) == count
        assert len(filled(panels_of(figure)[2])) == 0
        # A layout takes most of the time.
        pixels, boxes = render(figure, layout=curve is concave)
        assert all(colored(pixels[box]) > 0 for box in boxes.values())


def test_without_points_the_chord_joins_the_ends_of_what_is_known():
    line = make_line(bowl)
    done = line.done.copy()
    done[-1] = False
    line = line._replace(points=NO_MARKS, done=done)
    figure = line_figure(line, View(1, 0, log_height=True))
    for axes in panels_of(figure):
        s, losses = axes.lines[1].get_data()
        np.testing.assert_allclose(s[[0, -1]], [-1, 1.9])
        np.testing.assert_allclose(losses[[0, -1]], [1e6, 3.61e6])
        assert axes.get_yscale() == "log"
    assert "line, one unit" in figure.get_suptitle()
    assert "unfinished (30 of 31 nodes)" in figure.get_suptitle()
