import numpy as np
from surfaces import bowl, colored, make_line, panels_of, render

from nstjax.analysis.surfaces.line_plot import line_figure
from nstjax.analysis.surfaces.panels import View
from nstjax.analysis.surfaces.surface import NO_MARKS


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
