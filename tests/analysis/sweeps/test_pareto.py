import numpy as np
import pytest

from nstjax.analysis.sweeps.pareto import knee, non_dominated


def test_non_dominated_as_by_brute_force():
    random = np.random.default_rng(0)
    for _ in range(50):
        # Few values make ties and doubles.
        content, style = random.integers(0, 6, (2, 12)).astype(float)
        content[random.integers(12)] = np.nan
        style[random.integers(12)] = np.nan
        points = list(zip(content, style, strict=True))
        expected = [
            not np.isnan(x + y)
            and not any(a <= x and b <= y and (a < x or b < y) for a, b in points)
            for x, y in points
        ]
        assert non_dominated(content, style).tolist() == expected


def test_the_knee_is_the_corner_of_an_l():
    # Logarithms (0, 2), (0.2, 0.2), (1, 0.1), (2, 0), and points that do not count.
    content = 10 ** np.array([2, 0.2, 0, 1, 1.5, np.nan])
    style = 10 ** np.array([0, 0.2, 2, 0.1, 1.5, -3])
    assert knee(content, style) == 1
    assert knee(style, content) == 1
    # Neither units nor powers of a loss matter.
    assert knee(1e-7 * content, 1e5 * style**3) == 1
    order = [5, 1, 4, 0, 3, 2]
    assert knee(content[order], style[order]) == 1


def test_the_knee_of_fronts_that_bend_to_either_side():
    # x·y = 1 on the axes shifted by 0.1, in logarithms: symmetric.
    x = np.geomspace(0.1, 10, 41)
    assert knee(np.exp(x), np.exp(1 / x)) == 20
    assert knee(np.array([1.0, 50, 100]), np.array([100.0, 50, 1])) == 1


@pytest.mark.parametrize(
    ("content", "style"),
    [
        ([1.0, 2.0], [2.0, 1.0]),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        ([1.0, 10.0, 100.0], [100.0, 10.0, 1.0]),
        ([np.nan] * 3, [1.0, 2.0, 3.0]),
    ],
)
def test_a_straight_front_has_no_knee(content, style):
    assert knee(np.array(content), np.array(style)) is None
