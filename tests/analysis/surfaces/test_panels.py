import numpy as np
import pytest
from surfaces import GRID, bowl, make_line, make_surface, tilted

from nstjax.analysis.surfaces.panels import (
    View,
    contour_levels,
    mark_losses,
    panels,
    surface_panels,
)
from nstjax.analysis.surfaces.surface import total
from nstjax.errors import InputError


def test_total_is_recombined_from_what_is_saved():
    surface = make_surface()
    content, style, tv = tilted(*GRID), bowl(*GRID), 3 + GRID[0] * GRID[1]
    for alpha, beta, weight in ((1, 0, 0), (2.5, 1e-3, 0), (0, 3, 7)):
        found = total(surface, alpha, beta, weight)
        expected = alpha * content + beta * style + weight * tv
        np.testing.assert_allclose(found, expected, rtol=1e-15)
        marked = mark_losses(surface.points, View(alpha, beta, weight))
        at_content = alpha * 6 + beta * 1.25e6 + weight * 3.5
        np.testing.assert_allclose(marked["total"][0], at_content, rtol=1e-15)


@pytest.mark.parametrize(
    "weights", [(-1, 0, 0), (1, np.nan, 0), (np.inf, 1, 0), (1, 1, -0.1)]
)
def test_weights_are_numbers_from_0_on(weights):
    with pytest.raises(InputError, match=r"(alpha|beta|tv) is .*: give a number"):
        panels(make_surface(), View(*weights))


def test_panels_know_what_is_done_and_finite():
    surface = make_surface()
    surface.done[1, 2] = False
    surface.values.style[3, 4] = surface.values.tv[0, 0] = np.inf
    shown = panels(surface, View(1, 1))
    unknown = {name: np.argwhere(np.isnan(x)).tolist() for name, x in shown.items()}
    assert list(unknown.items()) == [
        ("total", [[0, 0], [1, 2], [3, 4]]),
        ("content", [[1, 2]]),
        ("style", [[1, 2], [3, 4]]),
    ]
    with pytest.raises(InputError, match="no node with a finite total loss"):
        panels(make_surface(nodes=0), View(1, 1))


def test_a_line_is_no_surface():
    with pytest.raises(InputError, match="31 by 1 nodes is no surface but a line"):
        surface_panels(make_line(bowl), View(1, 1))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        np.geomspace(1e-3, 1e9, 50),
        np.linspace(-5, 5, 50),
        np.array([3.0, np.nan, 3.0]),
        np.zeros(4),
        1 + 1e-12 * np.arange(4),
        1 + 1e-4 * np.arange(4),
        np.concatenate([np.full(999, 2.0), [5.0]]),
    ],
)
def test_levels_increase_whatever_the_values_are(values, log):
    levels = contour_levels(values, log)
    steps = np.diff(np.log(levels.values) if levels.log else levels.values)
    assert (steps > 0).all()
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    finite = values[np.isfinite(values)]
    assert levels.log == (log and np.percentile(finite, 1) > 0)
    assert levels.values[0] <= np.median(finite) <= levels.values[-1]


def test_levels_leave_out_the_ends():
    levels = contour_levels(np.arange(1.0, 1002.0), log=False)
    np.testing.assert_allclose(levels.values[[0, -1]], [11, 991])
