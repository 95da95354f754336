import numpy as np
import pytest
from sweep_examples import example

from nstjax.analysis.surfaces.weights_surface import weights_surface
from nstjax.errors import InputError


def surface_of(settings, diverged=()):
    """Of a sweep whose final losses tell which run they are of."""
    sweep = example(settings, diverged)
    runs = np.arange(len(sweep.status))
    final = {"content": runs + 0.5, "style": runs + 100.0, "tv": runs * 2.0}
    return weights_surface(sweep._replace(final=final))


def test_ratio_goes_along_s_and_the_other_setting_along_t():
    # Two ratios by three rates, in no order; one combination is missing.
    surface = surface_of(
        {"beta": [1, 10, 10, 1, 10], "learning_rate": [5.0, 1, 5, 2, 2]},
        diverged=[3],
    )
    assert surface.plane is None
    np.testing.assert_allclose(surface.s, [1, 2])
    np.testing.assert_array_equal(surface.t, [1, 2, 5])
    assert surface.labels == ("log10(β/α)", "learning_rate")
    nan = np.nan
    expected = np.array([[nan, nan, 0], [1, 4, 2]])
    np.testing.assert_array_equal(surface.values.content, expected + 0.5)
    np.testing.assert_array_equal(surface.values.style, expected + 100)
    np.testing.assert_array_equal(surface.values.tv, expected * 2)
    assert surface.done.tolist() == [[False, False, True], [True, True, True]]


def test_a_setting_over_powers_of_ten_has_a_logarithmic_axis():
    surface = surface_of({"alpha": [1, 2, 1, 2], "tv": [1e-3, 1e-3, 1.0, 1.0]})
    np.testing.assert_allclose(surface.s, np.log10([2.5, 5]))
    np.testing.assert_allclose(surface.t, [-3, 0])
    assert surface.labels[1] == "log10(tv)"
    with_zero = surface_of({"beta": [1, 2], "tv": [0.0, 5.0]})
    np.testing.assert_array_equal(with_zero.t, [0, 5])
    # The ratio itself may be too large for a number.
    large = surface_of({"alpha": [1e-300, 1.0], "beta": [1e30, 1e30]})
    np.testing.assert_allclose(large.s, [30, 330])


def test_weights_alone_are_a_line_or_a_surface():
    line = surface_of({"beta": [8, 2, 4], "seed": [1, 1, 1]})
    np.testing.assert_array_equal(line.values.content[:, 0], [1.5, 2.5, 0.5])
    assert line.t.tolist() == [0]
    surface = surface_of({"alpha": [0.1, 1, 0.1, 1], "beta": [1.0, 1, 10, 10]})
    np.testing.assert_allclose(surface.s, [0, 1, 2], atol=1e-12)
    np.testing.assert_array_equal(surface.t, [0.1, 1])
    assert surface.done.tolist() == [[False, True], [True, True], [True, False]]


def test_settings_that_are_no_grid_are_told_before_one_is_made(monkeypatch):
    monkeypatch.setattr("nstjax.analysis.surfaces.weights_surface.LARGEST_SIDE", 2)
    monkeypatch.setattr("nstjax.analysis.surfaces.weights_surface.unknown_values", None)
    values = [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match="3 ratios beta/alpha and 3 values of tv, mo"):
        surface_of({"beta": values, "tv": values})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"seed": [1, 2]}, "varies seed: a surface over weights needs alpha or beta"),
        ({"seed": [1, 1]}, "varies nothing"),
        ({"beta": [1, 2], "seed": [1, 2], "tv": [0, 1]}, "at most one other setting"),
        ({"beta": [0, 2]}, "alpha or beta is 0"),
        ({"beta": [2, 4, 4], "seed": [1, 1, 1]}, "several runs of one ratio"),
    ],
)
def test_sweeps_that_are_no_surface(settings, says):
    with pytest.raises(InputError, match=says) as caught:
        surface_of(settings)
    assert "\n" not in str(caught.value)
