import numpy as np
import pytest
from surfaces import GRID, bowl, make_surface, tilted

from nstjax.analysis.surfaces import panels as surface_panels
from nstjax.analysis.surfaces import plots as surface_plots
from nstjax.errors import InputError


@pytest.fixture
def surface():
    return make_surface()


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
    values = surface.values._replace(
        style=surface.values.style.copy(), tv=surface.values.tv.copy()
    )
    values.style[3, 4] = values.tv[0, 0] = np.inf
    shown = surface_panels.panels(surface._replace(done=done, values=values), 1, 1, 0)
    assert np.argwhere(np.isnan(shown["content"])).tolist() == [[1, 2]]
    assert np.argwhere(np.isnan(shown["style"])).tolist() == [[1, 2], [3, 4]]
    assert np.argwhere(np.isnan(shown["total"])).tolist() == [[0, 0], [1, 2], [3, 4]]


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
