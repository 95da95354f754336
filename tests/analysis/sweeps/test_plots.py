"""Figures of sweeps that are made up, so that every number in them is known."""

import logging

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.patches import Rectangle
from sweep_examples import STEPS, example

from nstjax.analysis.sweeps import sheet as sheet_module
from nstjax.analysis.sweeps.axes import full_grid, number_text
from nstjax.analysis.sweeps.pareto import knee, non_dominated
from nstjax.analysis.sweeps.plots import curves_figure, heat_map_figure, pareto_figure
from nstjax.analysis.sweeps.sheet import sweep_sheet
from nstjax.errors import InputError
from nstjax.images.contact_sheet import contact_sheet

RED, GREEN = np.float32([1, 0, 0]), np.float32([0, 1, 0])
SOURCES = [np.full((128, 128, 3), color) for color in (RED, GREEN)]


def make_sweep(settings, diverged=(), side=128):
    return example(settings, diverged, (side // 2, side))


def grid_of(**values):
    tables = np.meshgrid(*values.values(), indexing="ij")
    return dict(zip(values, map(np.ravel, tables), strict=True))


def drawn(figure, layout=False):
    if not layout:
        # It takes most of the time, and moves the axes only.
        figure.set_layout_engine("none")
    figure.draw_without_rendering()
    return figure


def test_pareto_figure_shows_what_ended():
    sweep = make_sweep({"beta": np.geomspace(1e-2, 1e4, 30)}, diverged=(3, 7))
    figure = drawn(pareto_figure(sweep))
    axes, bar = figure.axes
    content, style = sweep.final["content"], sweep.final["style"]
    both = np.stack([content, style], 1)
    points, ring = axes.collections
    expected = np.delete(both, [3, 7], axis=0)
    np.testing.assert_allclose(points.get_offsets(), expected)
    assert axes.get_title() == "30 settings, 2 diverged"
    (front,) = axes.lines
    best = both[non_dominated(content, style)]
    np.testing.assert_array_equal(front.get_xydata(), best[np.argsort(best[:, 0])])
    chosen = knee(content, style)
    np.testing.assert_allclose(ring.get_offsets(), [both[chosen]])
    beta = number_text(sweep.settings["beta"][chosen])
    assert axes.get_legend().get_texts()[0].get_text() == f"knee\nbeta = {beta}"
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert bar.get_ylabel() == "β/α"
    # The default alpha is 0.1.
    np.testing.assert_allclose(bar.get_ylim(), [0.1, 1e5])
    # Viridis grows lighter with the ratio.
    lightness = points.get_facecolors()[:, :3] @ [0.3, 0.6, 0.1]
    assert (np.diff(lightness) > 0).all()
    assert "supported part" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("settings", "label", "limits"),
    [
        ({"alpha": [1.0, 10, 100], "beta": [1.0, 10, 10]}, "β/α", [0.1, 1]),
        ({"beta": [1.0] * 3, "rate": [1.0, 2, 4]}, "rate", [1, 4]),
        ({"tv": [0.0, 1e-3, 1]}, "tv (grey: 0)", [1e-3, 1]),
    ],
)
def test_the_ratio_of_the_weights_or_else_the_first_setting_colors(
    settings, label, limits
):
    bar = pareto_figure(make_sweep(settings)).axes[1]
    assert bar.get_ylabel() == label
    np.testing.assert_allclose(bar.get_ylim(), limits)
    with pytest.raises(InputError, match=r"does not say its alpha and beta: give sw"):
        pareto_figure(make_sweep(settings)._replace(config={}))


@pytest.mark.parametrize("draw", [pareto_figure, curves_figure])
@pytest.mark.parametrize(
    ("settings", "diverged", "bars"),
    [
        ({"beta": [3.0]}, (), 0),
        ({"beta": [0.0, 1.0]}, (0, 1), 1),
        ({"alpha": [0.0, 1.0, 2.0]}, (), 1),
    ],
)
def test_odd_sweeps_can_be_drawn(draw, settings, diverged, bars):
    figure = drawn(draw(make_sweep(settings, diverged)))
    assert [axes.get_label() for axes in figure.axes].count("<colorbar>") == bars


def test_losses_of_zero_and_constant_losses_can_be_drawn():
    sweep = make_sweep({"beta": [1.0, 2.0, 3.0]})
    for name in ("content", "style"):
        sweep.log[name][:] = sweep.final[name][:] = 2
    sweep.final["content"][0] = 0
    sweep.log["content"][:, 0] = 0
    figure = drawn(pareto_figure(sweep))
    assert len(figure.axes[0].collections[0].get_offsets()) == 2
    line = drawn(curves_figure(sweep)).axes[0].lines[1]
    np.testing.assert_array_equal(line.get_xdata(), STEPS[1:])


def test_curves_have_a_panel_for_each_loss_and_a_line_for_each_setting():
    settings = grid_of(beta=[1.0, 100.0], learning_rate=[1.0, 2.0])
    sweep = make_sweep(settings, diverged=(1,))
    figure = drawn(curves_figure(sweep), layout=True)
    *panels, bar = figure.axes
    assert bar.get_ylabel() == "β/α"
    layers = sweep.log["style_layers"]
    curves = {
        **{name: sweep.log[name] for name in ("content", "style")},
        **{f"style, {name}": values for name, values in layers.items()},
    }
    assert [panel.get_title() for panel in panels] == list(curves)
    for panel, values in zip(panels, curves.values(), strict=True):
        assert panel.get_yscale() == "log"
        for run, line in enumerate(panel.lines):
            shown = 2 if run == 1 else 4
            np.testing.assert_array_equal(line.get_xdata(), STEPS[:shown])
            np.testing.assert_array_equal(line.get_ydata(), values[run, :shown])
            assert line.get_marker() == ("x" if run == 1 else "None")
        colors = [to_rgb(line.get_color()) for line in panel.lines]
        assert colors[0] == colors[1] != colors[2] == colors[3]
    assert figure.get_suptitle() == "Unweighted losses of 4 settings, 1 diverged"


def test_a_heat_map_has_ratio_across_and_hatches_what_diverged():
    settings = grid_of(beta=[10.0, 1.0, 100.0], learning_rate=[2.0, 1.0])
    sweep = make_sweep(settings, diverged=(1,))
    figure = drawn(heat_map_figure(sweep), layout=True)
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("beta", "learning_rate")
    for axes, name in zip(figure.axes, ("total", "content", "style"), strict=False):
        (mesh,) = axes.collections
        np.testing.assert_array_equal(
            np.ma.filled(mesh.get_array(), np.nan),
            sweep.final[name][[[3, 1, 5], [2, 0, 4]]],
        )
        assert isinstance(mesh.norm, LogNorm)
        ticks = [label.get_text() for label in axes.get_xticklabels()]
        assert ticks == ["1", "10", "100"]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]
        (cell,) = (patch for patch in axes.patches if isinstance(patch, Rectangle))
        assert (cell.get_xy(), cell.get_hatch()) == ((1, 0), "////")
    drawn(heat_map_figure(make_sweep(settings, diverged=range(6))))


@pytest.mark.parametrize(
    "settings",
    [
        {"beta": [1.0, 2.0]},
        {"beta": [1.0, 2.0], "tv": [1.0, 2.0]},
        {"beta": [1.0, 1.0, 2.0, 2.0, 2.0], "tv": [1.0, 2.0, 1.0, 2.0, 2.0]},
        {"beta": [1.0, 1.0, 2.0, 2.0], "tv": [1.0, 1.0, 2.0, 3.0]},
        grid_of(beta=[1.0, 2.0], tv=[1.0, 2.0], seed=[1, 2]),
    ],
)
def test_other_settings_are_no_grid(settings):
    sweep = make_sweep(settings)
    assert full_grid(sweep) is None
    with pytest.raises(InputError, match="full grid of two settings"):
        heat_map_figure(sweep)


def sheet_of(sweep):
    return sweep_sheet(sweep, SOURCES[0], SOURCES[1:])


def extent(found):
    """Top, bottom, left and right of what is found."""
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    return top, bottom, left, right


def place(sheet, sweep, run):
    """Where a run's picture is, which must be whole."""
    color = sweep.images[run, 0, 0] / np.float32(255)
    found = np.argwhere((np.abs(sheet - color) < 1e-6).all(axis=2))
    top, bottom, left, right = extent(found)
    assert (bottom - top, right - left) == sweep.images.shape[1:3]
    assert len(found) == (bottom - top) * (right - left)
    return top, bottom, left, right


def changed(first, second):
    """Where two sheets differ."""
    return extent(np.argwhere((first != second).any(axis=2)))


BETAS, RATES = [100.0, 1.0, 10.0], [0.5, 0.1]
# Beta, named first and unsorted, goes across nevertheless.
SETTINGS = grid_of(beta=BETAS, learning_rate=RATES)


def test_a_grid_lies_where_its_settings_say():
    sweep = make_sweep(SETTINGS)
    sheet = sheet_of(sweep)
    places = np.array([place(sheet, sweep, run) for run in range(6)])
    # Runs by learning rate down and beta across.
    tops, _, lefts, _ = np.moveaxis(places[[[3, 5, 1], [2, 4, 0]]], -1, 0)
    assert (tops == tops[:, :1]).all()
    assert (lefts == lefts[:1]).all()
    assert (np.diff(tops, axis=0) > 0).all()
    assert (np.diff(lefts, axis=1) > 0).all()
    # Content and style are in the top corner.
    red, green = (np.argwhere((sheet == each).all(axis=2)) for each in (RED, GREEN))
    assert len(red) == len(green) == 128 * 128
    assert extent(red)[3] <= extent(green)[2]
    assert max(extent(red)[1], extent(green)[1]) <= tops.min()

    # The margins say the settings: another beta changes only the head of its column,
    top, bottom, left, right = places[3]
    other = sheet_of(make_sweep(grid_of(beta=[100, 2, 10], learning_rate=RATES)))
    where = changed(sheet, other)
    assert left <= where[2] < where[3] <= right
    assert top - 60 < where[0] < where[1] <= top
    # and another rate only the side of its row.
    other = sheet_of(make_sweep(grid_of(beta=BETAS, learning_rate=[0.5, 0.2])))
    where = changed(sheet, other)
    assert top <= where[0] < where[1] <= bottom
    assert where[3] <= left

    # A diverged cell is grey and says so.
    after = sheet_of(make_sweep(SETTINGS, diverged=(5,)))
    top, bottom, left, right = places[5]
    assert changed(sheet, after) == (top, bottom, left, right)
    cell = after[top:bottom, left:right]
    assert np.ptp(cell, axis=2).max() < 0.01
    assert cell.max() > 0.6
    assert cell.min() < 0.2


def test_large_pictures_are_brought_to_a_common_size():
    sheet = sheet_of(make_sweep(SETTINGS, side=384))
    assert ((sheet * 255).round() == [90, 4, 7]).all(axis=2).sum() == 256 * 128


def test_other_sweeps_are_a_captioned_sheet():
    settings = {"style_layer_weights.relu1_1": [0.25, 1e-7], "seed": [0, 2**32 - 1]}
    sweep = make_sweep(settings, diverged=(1,))
    first, second = (image / np.float32(255) for image in sweep.images)
    grey = np.repeat(0.65 + 0.25 * second.mean(axis=2, keepdims=True), 3, axis=2)
    name = "style_layer_weights.\nrelu1_1"
    labels = [
        f"{name} = 0.25\nseed = 0",
        f"{name} = 1e-07\nseed = 4294967295\ndiverged\nstep 10",
    ]
    labels = ["content", "style", *labels]
    expected = contact_sheet([*SOURCES, first, grey], labels, cell=128)
    np.testing.assert_array_equal(sheet_of(sweep), expected)


def test_too_many_settings_are_chosen_evenly_and_it_is_said(monkeypatch, caplog):
    monkeypatch.setattr(sheet_module, "MAX_PICTURES", 5)
    sweep = make_sweep(grid_of(beta=[1.0, 2.0, 3.0], learning_rate=[1.0, 2.0, 3.0]))
    with caplog.at_level(logging.INFO, "nstjax"):
        sheet = sheet_of(sweep)
    assert "the sheet shows 5 of 9 settings" in caplog.text
    for run in range(9):
        color = sweep.images[run, 0, 0] / np.float32(255)
        assert (sheet == color).all(axis=2).any() == (run % 2 == 0)


def test_numbers_are_short():
    for value, text in {
        100_000.0: "100000",
        31_622.776: "3.16e+04",
        1e8: "1e+08",
        0.05: "0.05",
        -2.5: "-2.5",
        np.int64(123_456_789): "123456789",
    }.items():
        assert number_text(value) == text
