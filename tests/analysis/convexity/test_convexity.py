import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from nstjax.analysis.convexity import convexity
from nstjax.errors import InputError

TOLERANCE = 1e-12


def grid(function, nu, nv):
    s, t = np.linspace(-1, 1, nu), np.linspace(-1.5, 1.5, nv)
    return s, t, function(s[:, None], t[None, :])


CONVEX = {
    # Convex since 4·1·3 > 3².
    "quadratic": lambda x, y: x**2 + 3 * x * y + 3 * y**2 - x + 7,
    "kinked": lambda x, y: np.maximum(x + y - 1, 0),
    "absolute": lambda x, y: np.abs(x - y) + np.abs(x),
    "affine": lambda x, y: 1e3 + 0.3 * x - 0.7 * y,
    "constant": lambda x, y: 0 * x * y + 3.3,
}


@pytest.mark.parametrize("size", [(21, 21), (17, 5), (9, 1), (1, 9), (1, 1)])
@pytest.mark.parametrize("name", CONVEX)
def test_convex_functions_are_not_refuted(name, size):
    s, t, Z = grid(CONVEX[name], *size)
    found = convexity.lattice_midpoint_test(Z, convexity.tolerances(Z, 2.3e-16))
    assert found[:4] == (0, 0, None, None)
    assert convexity.convex_envelope_gap(s, t, Z) < 1e-14


def test_the_lattice_test_equals_a_loop_over_all_triples():
    random = np.random.default_rng(0)
    for (nu, nv), strides in itertools.product(
        [(5, 9), (10, 3), (7, 1), (1, 6), (2, 2)], [(1, 2, 4), (3,), (2, 1)]
    ):
        x, y = np.meshgrid(np.arange(nu), np.arange(nv), indexing="ij")
        Z = (x**2 + x * y + y**2) * 0.3 + random.normal(size=(nu, nv))
        Z[random.uniform(size=Z.shape) < 0.15] = np.nan
        tested, violated, worst, worst_at, direction = set(), set(), 0, None, None
        for k, i, j in itertools.product(strides, range(nu), range(nv)):
            for di, dj in [(k, 0), (0, k), (k, k), (k, -k)]:
                ends = [(i + di, j + dj), (i - di, j - dj)]
                if not all(0 <= a < nu and 0 <= b < nv for a, b in ends):
                    continue
                difference = Z[ends[0]] + Z[ends[1]] - 2 * Z[i, j]
                if np.isnan(difference):
                    continue
                tested.add((i, j))
                if difference < -0.5:
                    violated.add((i, j))
                    if difference < worst:
                        worst, worst_at, direction = difference, (i, j), (di, dj)

        found = convexity.lattice_midpoint_test(Z, 0.5, strides)
        assert (found.tested, found.violations) == (len(tested), len(violated))
        assert found.fraction == len(violated) / max(len(tested), 1)
        assert (found.worst_at, found.direction) == (worst_at, direction)
        extent = np.nanmax(Z) - np.nanmin(Z)
        assert found.worst == pytest.approx(worst / extent, rel=1e-12)


@pytest.mark.parametrize("tolerance", [-1e-9, np.nan, [0.1, -1.0]])
def test_a_tolerance_below_0_is_refused(tolerance):
    ends = np.zeros(2)
    with pytest.raises(InputError, match="at least 0"):
        convexity.lattice_midpoint_test(np.ones((3, 3)), tolerance)
    with pytest.raises(InputError, match="at least 0"):
        convexity.segment_violations(ends, ends, np.zeros((2, 1)), [0.5], tolerance)


def test_unknown_nodes_are_left_out():
    s, t, Z = grid(CONVEX["quadratic"], 11, 14)
    Z[3, 5] = 100
    whole = convexity.lattice_midpoint_test(Z, TOLERANCE)
    assert (whole.violations, whole.worst_at) == (1, (3, 5))
    Z[3, 5] = np.nan
    Z[7:, 9:] = np.inf
    found = convexity.lattice_midpoint_test(Z, TOLERANCE)
    assert found.violations == 0
    assert 0 < found.tested < whole.tested
    envelope = convexity.convex_envelope(s, t, Z)
    np.testing.assert_array_equal(np.isnan(envelope), ~np.isfinite(Z))
    Z[7:, 9:] = np.nan
    np.testing.assert_allclose(envelope, Z, atol=1e-14)
    assert convexity.convex_envelope_gap(s, t, Z) < 1e-14


def test_a_grid_without_values():
    Z = np.full((4, 5), np.nan)
    assert convexity.lattice_midpoint_test(Z, TOLERANCE).tested == 0
    with pytest.raises(InputError, match="no value"):
        convexity.convex_envelope_gap(range(4), range(5), Z)


def check_envelope(s, t, Z, atol):
    """At each known node, the least mean of values whose mean place is the node."""
    known = np.argwhere(np.isfinite(Z))
    places = np.array([[s[i], t[j], 1.0] for i, j in known]).T
    values = Z[tuple(known.T)]
    expected = np.full(Z.shape, np.nan)
    for (i, j), place in zip(known, places.T, strict=True):
        solved = scipy.optimize.linprog(values, A_eq=places, b_eq=place)
        assert solved.success
        expected[i, j] = solved.fun
    np.testing.assert_allclose(convexity.convex_envelope(s, t, Z), expected, atol=atol)


def test_the_envelope_equals_linear_programming():
    random = np.random.default_rng(1)
    for size in [(5, 6), (7, 1), (1, 5), (2, 4)]:
        s = 10 * np.sort(random.uniform(size=size[0])) + 3
        t = 1e-3 * np.sort(random.uniform(size=size[1]))
        Z = 1e4 * random.normal(size=size) + 1e5
        missing = np.where(random.uniform(size=size) < 0.2, np.nan, Z)
        for values in (Z, np.round(Z, -4), missing):
            check_envelope(s, t, values, 1e-5)
    # Where the outline slants, the hull's side is vertical only up to rounding.
    s, t = np.linspace(-1, 1, 6), np.linspace(-1.5, 1.5, 7)
    i, j = np.indices((6, 7))
    for _ in range(4):
        Z = np.where(2 * i + j < 6, np.nan, random.normal(size=(6, 7)))
        check_envelope(s, t, Z, 1e-12)


def test_known_nodes_on_a_slanting_line_and_alone():
    Z = np.full((3, 6), np.nan)
    Z[1, 2] = 4
    s, t = np.arange(3.0), np.arange(6.0)
    assert convexity.convex_envelope_gap(s, t, Z) == 0
    Z[0, 4], Z[2, 0] = 1, 2
    expected = Z.copy()
    expected[1, 2] = 1.5
    np.testing.assert_allclose(convexity.convex_envelope(s, t, Z), expected)


def test_differences_within_the_tolerance_are_no_violations():
    Z = np.array([[0.0, 0.1, 0.0]])
    assert convexity.lattice_midpoint_test(Z, 0.21).violations == 0
    assert convexity.lattice_midpoint_test(Z, 0.19).violations == 1
    # As large as the rounding to float32.
    s, t, Z = grid(CONVEX["affine"], 51, 51)
    rounded, epsilon = Z.astype(np.float32), np.finfo(np.float32).eps
    assert convexity.lattice_midpoint_test(rounded, TOLERANCE).violations > 0
    tolerance = convexity.tolerances(rounded, epsilon)
    assert convexity.lattice_midpoint_test(rounded, tolerance).violations == 0
    assert (
        0 < convexity.convex_envelope_gap(s, t, rounded) < epsilon * Z.max() / np.ptp(Z)
    )


def test_tolerances_are_eight_errors_of_the_largest_value():
    assert convexity.tolerances([[1.0, -5.0], [np.nan, 2.0]], 1e-3) == 8 * 5e-3
    values = [[1.0, 4.0, -2.0], [1e15, 1.0, 1.0], [0.0, 1e-9, 0.0], [np.inf, 1, 3]]
    expected = 8 * 0.5**10 * np.array([4, 1e15, 1e-9, 3])
    np.testing.assert_array_equal(
        convexity.tolerances(values, 0.5**10, axis=1), expected
    )


def test_segments_of_known_functions():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 6, 4))
    thetas = np.array([0.25, 0.5, 0.75])
    inner = thetas[:, None] * a[:, None] + (1 - thetas[:, None]) * b[:, None]

    def square(x):
        return np.sum(x**2, axis=-1)

    # ‖θa + (1-θ)b‖² falls short of the chord by θ(1-θ)‖a - b‖².
    concave = -square(a), -square(b), -square(inner), thetas
    excess, violations = convexity.segment_violations(*concave, 0)
    expected = square(a - b)[:, None] * thetas * (1 - thetas)
    np.testing.assert_allclose(excess, expected, rtol=1e-12)
    assert violations.all()
    tau = excess.max(axis=1) * [1.01, 0.99, 1.01, 0.99, 1.01, 0.99]
    _, violations = convexity.segment_violations(*concave, tau)
    assert violations.any(axis=1).tolist() == [False, True] * 3


def test_segments_are_summarized_by_kind():
    excess = np.array(
        [[1, -1], [-1, 3], [-1, -2], [np.nan, 2], [0.05, 0], [-9, np.inf]]
    )
    kinds = ["noise", "style", "noise", "noise", "style", "shift"]
    found = convexity.summarize_segments(excess, kinds, 0.1)
    # Wilson's interval of 1 in 2.
    z = scipy.stats.norm.ppf(0.975)
    spread = z * np.sqrt(1 / 8 + z**2 / 16) / (1 + z**2 / 2)
    half = (2, 1, 0.5 - spread, 0.5 + spread)
    assert list(found) == ["noise", "style", "shift"]
    assert found["noise"] == pytest.approx((*half, 1))
    assert found["style"] == pytest.approx((*half, 3))
    assert found["shift"] == (0, 0, 0, 1, 0)
    each = convexity.summarize_segments(excess[:3], kinds[:3], np.array([2, 0.1, 0.1]))
    assert each["noise"][:2] == (2, 0)
    assert each["noise"].worst == 0
