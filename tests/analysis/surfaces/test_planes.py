import math

import numpy as np
import pytest
import reference
from surfaces import check_orthonormal

from nstjax.analysis.convexity.curvature import Curvature
from nstjax.analysis.surfaces import planes
from nstjax.analysis.surfaces.geometry import axis_labels, contrast, point, project
from nstjax.analysis.surfaces.planes import plane_through, principal_plane, random_plane
from nstjax.errors import InputError

IMAGES = [np.float32(reference.random_image(seed, 12, 16)) for seed in range(3)]


def test_plane_goes_through_its_three_images():
    result, content, style = IMAGES
    plane = plane_through(*IMAGES)
    check_orthonormal(plane)
    assert plane.kind == "plane3"
    assert plane.unit_length == contrast(result)
    marks = project(plane, IMAGES, ("result", "content", "style"), np.zeros((3, 3)))
    for found, expected in zip(marks.coordinates, IMAGES, strict=True):
        np.testing.assert_allclose(point(plane, *found), expected, atol=1e-3)
    np.testing.assert_allclose(marks.residuals, 0, atol=1e-6)
    # The photo is on the first axis, the painting on the second axis' positive side.
    distance = np.linalg.norm(np.float64(content) - result)
    np.testing.assert_allclose(marks.coordinates[0], 0)
    np.testing.assert_allclose(
        marks.coordinates[1], [distance / plane.unit_length, 0], atol=1e-6
    )
    assert marks.coordinates[2, 1] > 0
    cosine = np.vdot(content - result, style - result) / (
        distance * np.linalg.norm(style - result)
    )
    assert plane.details["raw_cosine"] == pytest.approx(cosine, rel=1e-5)
    assert plane.details["sine"] == pytest.approx(math.sin(math.acos(cosine)), 1e-5)


@pytest.mark.parametrize(
    ("content_at", "style_at", "says"),
    [
        (lambda x, c, s: x, lambda x, c, s: s, "result and content nearly coincide"),
        (lambda x, c, s: c, lambda x, c, s: x, "result and style nearly coincide"),
        (lambda x, c, s: c, lambda x, c, s: c, "content and style nearly coincide"),
        (lambda x, c, s: c, lambda x, c, s: 3 * c - 2 * x, "nearly on one line"),
        (lambda x, c, s: c, lambda x, c, s: -c + 2 * x, "nearly on one line"),
    ],
)
def test_images_on_one_line_span_no_plane(content_at, style_at, says):
    with pytest.raises(InputError, match=says):
        plane_through(IMAGES[0], content_at(*IMAGES), style_at(*IMAGES))


def test_a_small_angle_is_enough():
    result, content, style = np.float64(IMAGES)
    u = (content - result) / np.linalg.norm(content - result)
    w = style - result - np.vdot(u, style - result) * u
    w /= np.linalg.norm(w)

    def at_sine(sine):
        direction = math.sqrt(1 - sine**2) * u + sine * w
        return plane_through(result, content, result + 500 * direction)

    assert at_sine(0.051).details["sine"] == pytest.approx(0.051)
    with pytest.raises(InputError, match=r"sine of the angle at the result 0\.049"):
        at_sine(0.049)


def test_line_runs_from_0_to_1():
    start, end, other = IMAGES
    line = planes.line_through(start, end, ("result", "content"))
    np.testing.assert_allclose(np.linalg.norm(line.u), 1, rtol=1e-6)
    assert not line.v.any()
    np.testing.assert_allclose(point(line, 0, 0), start)
    np.testing.assert_allclose(point(line, 1, 0), end, atol=1e-4)
    marks = project(line, [end, other], ("end", "other"), np.zeros((2, 3)))
    np.testing.assert_allclose(marks.coordinates[0], [1, 0], atol=1e-6)
    assert marks.coordinates[1, 1] == 0
    assert line.labels == ("result → content", "")
    assert axis_labels(line)[1] == ""
    with pytest.raises(InputError, match="difference of result and content is 0"):
        planes.line_through(start, start, ("result", "content"))


def image(seed, height=12, width=16):
    x = reference.random_image(seed, height, width)
    # Channels of different contrast.
    return np.float32(x * [1.0, 0.5, 0.1])


@pytest.mark.parametrize("norm", ["image", "channel", "none"])
@pytest.mark.parametrize("spectrum", ["white", "pink"])
def test_random_planes_are_orthonormal_and_come_again(spectrum, norm):
    x = image(0)
    plane = random_plane(x, 3, spectrum, norm)
    check_orthonormal(plane)
    assert plane.kind == {"white": "random", "pink": "random_pink"}[spectrum]
    again, other = (random_plane(x, seed, spectrum, norm) for seed in (3, 4))
    np.testing.assert_array_equal(again.v, plane.v)
    assert abs(np.vdot(other.u, plane.u)) < 0.5
    # As they were drawn, they were nearly orthogonal, not exactly.
    assert 1e-6 < abs(plane.details["raw_cosine"]) < 0.5
    assert plane.details["seed"] == 3
    if norm == "none":
        assert axis_labels(plane)[0].endswith(" noise 1 (1 = 1 levels RMS)")
    else:
        assert plane.unit_length == contrast(x)


def test_channel_norm_shares_the_change_as_the_image_does():
    x = image(0, 40, 50)
    contrasts = np.array([contrast(x[:, :, [channel]]) for channel in range(3)])
    plane = random_plane(x, 0, norm="channel")
    shares = np.linalg.norm(plane.u, axis=(0, 1))
    np.testing.assert_allclose(shares, contrasts / contrast(x), rtol=1e-5)
    # Orthogonalization comes after, and moves the second one a little.
    shares = np.linalg.norm(plane.v, axis=(0, 1))
    np.testing.assert_allclose(shares, contrasts / contrast(x), rtol=0.02)
    white = np.linalg.norm(random_plane(x, 0).u, axis=(0, 1))
    np.testing.assert_allclose(white, np.sqrt(1 / 3), rtol=0.1)


@pytest.mark.parametrize(("spectrum", "slope"), [("white", 0), ("pink", -1)])
def test_amplitude_falls_with_the_frequency(spectrum, slope):
    size, shells = 96, np.arange(2, 40)
    plane = random_plane(image(0, size, size), 1, spectrum)
    frequency = np.minimum(np.arange(size), size - np.arange(size))
    radius = np.hypot(frequency[:, None], frequency[None, :])
    for direction in (plane.u, plane.v):
        amplitude = np.abs(np.fft.fft2(direction, axes=(0, 1)))
        means = [
            np.sqrt(np.mean(amplitude[(radius >= k - 0.5) & (radius < k + 0.5)] ** 2))
            for k in shells
        ]
        fitted = np.polyfit(np.log(shells), np.log(means), 1)[0]
        assert fitted == pytest.approx(slope, abs=0.06)
        if spectrum == "pink":
            np.testing.assert_allclose(direction.mean((0, 1)), 0, atol=1e-7)


def trajectory(count):
    """A path that mostly bends in a plane, and what it ends in."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, count + 1)[:, None, None, None]
    wide, narrow = rng.normal(size=(2, 1, 4, 5, 3))
    noise = rng.normal(size=(count + 1, 4, 5, 3))
    path = 100 * (1 - time) * wide + 30 * np.sin(np.pi * time) * narrow + noise
    return np.float32(path[:-1]), np.float32(path[-1])


def test_principal_plane_is_that_of_a_singular_value_decomposition():
    snapshots, last = trajectory(9)
    plane = principal_plane(snapshots, last)
    check_orthonormal(plane)
    X = (snapshots.astype(np.float64) - last).reshape(9, -1)
    _, singular_values, rows = np.linalg.svd(X, full_matrices=False)
    for direction, row in zip((plane.u, plane.v), rows, strict=False):
        assert abs(np.vdot(direction.astype(np.float64), row)) == pytest.approx(1)
    ratios = singular_values**2 / np.sum(singular_values**2)
    np.testing.assert_allclose(plane.details["explained_variance_ratio"], ratios[:2])
    assert plane.details["centering"] == "last image"
    assert f"{ratios[0]:.1%}" in plane.labels[0]
    # The sign is that of the first snapshot.
    assert (project(plane, snapshots[:1], ("1",), [0, 0, 0]).coordinates > 0).all()


def test_long_trajectories_are_thinned_logarithmically():
    snapshots, last = trajectory(200)
    plane = principal_plane(snapshots, last)
    assert 30 < plane.details["snapshots"] <= 64
    check_orthonormal(plane)
    # The first and the last ones count: without them, another plane comes out.
    assert np.vdot(plane.u, principal_plane(snapshots[5:], last).u) < 1 - 1e-7
    assert principal_plane(snapshots[:64], last).details["snapshots"] == 64


def test_what_spans_no_plane_is_told():
    (first, second, *_), last = trajectory(9)
    for snapshots in ([], [first], [first, (first + last) / 2, last], [last] * 3):
        with pytest.raises(InputError, match=f"the {len(snapshots)} snapshots and the"):
            principal_plane(snapshots, last)
    with pytest.raises(InputError, match="the last image and snapshot 2"):
        principal_plane([first, second[:2]], last)


def test_hessian_plane_takes_the_two_eigenvectors():
    x = image(0)
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(x.size, 2)))
    largest, smallest = (vector.reshape(x.shape) for vector in basis.T)
    ends = Curvature(-3.5, 12.0, 0.2, 0.1, smallest, largest, 0)
    plane = planes.hessian_plane(x, ends)
    check_orthonormal(plane)
    np.testing.assert_allclose(plane.u, largest, rtol=1e-5)
    np.testing.assert_allclose(plane.v, smallest, atol=1e-6)
    found = plane.details["eigenvalues"], plane.details["residuals"]
    assert found == ([12.0, -3.5], [0.1, 0.2])
    assert "smallest Hessian eigenvalue, -3.5" in plane.labels[1]


def test_gradient_plane():
    x, gradient = image(0), image(1)
    plane = planes.gradient_plane(x, gradient, seed=5)
    check_orthonormal(plane)
    expected = gradient / np.linalg.norm(gradient)
    np.testing.assert_allclose(plane.u, expected, rtol=1e-4, atol=1e-7)
    for bad in (0 * gradient, np.nan * gradient):
        with pytest.raises(InputError, match="gradient is 0 or not finite"):
            planes.gradient_plane(x, bad, seed=5)
