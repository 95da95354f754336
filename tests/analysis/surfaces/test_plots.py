"""Plots of loss surfaces: what is on them, and where."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d import proj3d
from surfaces import (
    GRID,
    NO_MARKS,
    POINTS,
    cells_of,
    colored,
    make_surface,
    panels_of,
    render,
    tilted,
)

from nstjax.analysis.surfaces import plots as surface_plots
from nstjax.errors import InputError


@pytest.fixture
def surface():
    return make_surface()


def check_drawn(pixels, boxes):
    assert len(boxes) == 3
    for box in boxes.values():
        assert pixels[box].std() > 0
        assert colored(pixels[box]) > 0.05


# --- axes ---------------------------------------------------------------------------


def test_heights_stand_at_their_nodes(surface):
    figure = surface_plots.surface_figure(surface, 1, 0, 0)
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


def test_logarithmic_heights_are_asked_for(surface):
    figure = surface_plots.surface_figure(surface, 0, 1, 0, log_height=True)
    # The bowl's 0 stands with its lowest positive value.
    style = panels_of(figure)[2]
    assert style.get_zlim()[1] == pytest.approx(np.log10(5e6))
    assert "log" in style.get_zlabel()
    assert colored(render(figure, layout=False)[0]) > 0.02


def test_one_view_for_all(surface):
    figure = surface_plots.surface_figure(surface, 1, 1, 0, elevation=50, azimuth=20)
    assert {(a.elev, a.azim) for a in panels_of(figure)} == {(50, 20)}
    with pytest.raises(InputError, match="an eye at nan, 20 degrees: give numbers"):
        surface_plots.surface_figure(surface, 1, 1, 0, elevation=np.nan, azimuth=20)


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
    pixels, boxes = render(surface_plots.map_figure(bare, 1, 0, 0), layout=False)
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
    check_drawn(*render(draw(constant, 1, 1e-3, 0), layout=False))
    # test_heights_stand_at_their_nodes has the other.
    if draw is surface_plots.map_figure:
        check_drawn(*render(draw(surface, 1, 1e-3, 0)))


def test_unknown_nodes_stay_blank():
    # Two columns of nodes along t, and one node more.
    part = make_surface(nodes=13)._replace(points=NO_MARKS, trajectories={})
    pixels, boxes = render(surface_plots.map_figure(part, 1, 1, 0), layout=False)
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
    render(figure, layout=False)
    for axes in panels_of(figure):
        whole = [np.isfinite(cell.vertices).all() for cell in cells_of(axes)]
        assert whole.count(True) == 5


@pytest.mark.parametrize(
    ("nodes", "draw"),
    [(1, surface_plots.surface_figure), (4, surface_plots.map_figure)],
)
def test_nodes_without_neighbors_are_dots(nodes, draw):
    part = make_surface(nodes=nodes)._replace(points=NO_MARKS, trajectories={})
    pixels, boxes = render(draw(part, 1, 1, 0), layout=False)
    for box in boxes.values():
        assert colored(pixels[box]) > 0
