import base64
import re
import sys

import numpy as np
import pytest
from surfaces import GRID, figure_of, make_surface, tilted

from nstjax.analysis.surfaces.html import surface_html
from nstjax.analysis.surfaces.panels import View
from nstjax.errors import InputError


def coordinates(traces, kind):
    """x, y and z of the first trace of a kind."""
    trace = next(trace for trace in traces if trace["type"] == kind)
    for array in map(trace.get, "xyz"):
        numbers = np.frombuffer(base64.b64decode(array["bdata"]), array["dtype"])
        yield numbers.reshape([int(n) for n in array.get("shape", "-1").split(",")])


def test_a_page_has_everything_in_it():
    surface, view = make_surface(), View(1, 0, title="two cats")
    page = surface_html(surface, view)
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert len(page) > 1e6
    traces, layout = figure_of(page)
    assert layout["title"]["text"].startswith("two cats<br>plane: plane3, one unit")
    assert [trace["type"] for trace in traces] == ["surface", *["scatter3d"] * 2] * 3
    x, y, z = coordinates(traces, "surface")
    np.testing.assert_array_equal((x, y), GRID)
    np.testing.assert_allclose(z, tilted(*GRID))
    x, y, z = coordinates(traces, "scatter3d")
    np.testing.assert_array_equal(x, surface.trajectories["run"].coordinates[:, 0])
    np.testing.assert_allclose(z, tilted(x, y))
    assert page == surface_html(surface, view)


def test_a_page_of_an_unfinished_surface():
    page = surface_html(make_surface(nodes=13), View(1, 1, log_height=True))
    traces, layout = figure_of(page)
    *_, z = coordinates(traces, "surface")
    assert np.isnan(z).sum() == 11
    assert "13 of 24 nodes" in layout["title"]["text"]
    assert layout["scene"]["zaxis"]["type"] == "log"


def test_without_plotly_there_is_no_page(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(InputError, match=r"pip install 'nstjax\[plotly\]'"):
        surface_html(make_surface(), View(1, 1))
