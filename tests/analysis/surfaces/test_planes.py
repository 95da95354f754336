import math

import numpy as np
import pytest
import reference
from surfaces import check_orthonormal

from nstjax.analysis.surfaces.planes import (
    axis_labels,
    bounding_range,
    contrast,
    line_through,
    plane_through,
    point,
    project,
)
from nstjax.errors import InputError

HEIGHT, WIDTH = 12, 16


def image(seed):
    return np.float32(reference.random_image(seed, HEIGHT, WIDTH))


@pytest.fixture
def images():
    return image(0), image(1), image(2)


def test_contrast_is_the_distance_from_the_channels_means():
    checkered = np.indices((HEIGHT, WIDTH)).sum(0) % 2 * 2.0 - 1
    x = np.stack([3 * checkered + 50, 4 * checkered - 20, 0 * checkered + 7], axis=2)
    assert contrast(x) == pytest.approx(5 * math.sqrt(HEIGHT * WIDTH))
    flat = np.full((HEIGHT, WIDTH, 3), np.float32([0.1, 20.3, -7.7]))
    with pytest.raises(InputError, match="flat"):
        plane_through(flat, image(1), image(2))


def test_plane_goes_through_its_three_images(images):
    result, content, style = images
    plane = plane_through(*images)
    check_orthonormal(plane)
    assert plane.kind == "plane3"
    assert plane.unit_length == contrast(result)
    marks = project(plane, images, ("result", "content", "style"), np.zeros((3, 3)))
    for found, expected in zip(marks.coordinates, images, strict=True):
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
def test_images_on_one_line_span_no_plane(images, content_at, style_at, says):
    with pytest.raises(InputError, match=says) as caught:
        plane_through(images[0], content_at(*images), style_at(*images))
    assert "\n" not in str(caught.value)


def test_a_small_angle_is_enough(images):
    result, content, style = np.float64(images)
    u = (content - result) / np.linalg.norm(content - result)
    w = style - result - np.vdot(u, style - result) * u
    w /= np.linalg.norm(w)

    def at_sine(sine):
        direction = math.sqrt(1 - sine**2) * u + sine * w
        return plane_through(result, content, result + 500 * direction)

    assert at_sine(0.051).details["sine"] == pytest.approx(0.051)
    with pytest.raises(InputError, match=r"sine of the angle at the result 0\.049"):
        at_sine(0.049)


def test_images_of_different_sizes_are_refused(images):
    with pytest.raises(InputError, match=r"result and style .*16x12, 10x12"):
        plane_through(images[0], images[1], images[2][:, :10])
    with pytest.raises(InputError, match="different sizes"):
        line_through(images[0], images[1][:3], ("a", "b"))


def test_line_runs_from_0_to_1(images):
    start, end, other = images
    line = line_through(start, end, ("result", "content"))
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
        line_through(start, start, ("result", "content"))


def test_projection_is_the_closest_point_in_units_of_r(images):
    plane = plane_through(*images)
    stranger = image(7)
    losses = np.arange(6).reshape(2, 3)
    marks = project(plane, [stranger, images[0]], ("7", "result"), losses)
    basis = np.stack([plane.u.ravel(), plane.v.ravel()], axis=1).astype(np.float64)
    away = (np.float64(stranger) - plane.origin).ravel() / plane.unit_length
    solution, squared, *_ = np.linalg.lstsq(basis, away, rcond=None)
    np.testing.assert_allclose(marks.coordinates[0], solution, rtol=1e-5)
    np.testing.assert_allclose(marks.residuals[0], math.sqrt(squared[0]), rtol=1e-5)
    assert marks.names == ("7", "result")
    np.testing.assert_array_equal(marks.losses, losses)
    none = project(plane, [], (), [])
    assert (none.coordinates.shape, none.losses.shape) == ((0, 2), (0, 3))
    # In float64: midpoints of points are points.
    middle = (point(plane, 0.1, -0.7) + point(plane, 0.4, 0.3)) / 2
    np.testing.assert_allclose(point(plane, 0.25, -0.2), middle, rtol=0, atol=1e-12)


def test_bounding_range_leaves_a_margin():
    coordinates = np.array([[0, 0], [2, 0], [1, -5]])
    assert bounding_range(coordinates) == ((-0.6, 2.6), (-6.5, 1.5))


def test_labels_say_what_a_unit_is(images):
    plane = plane_through(*images)
    rms = math.sqrt(np.mean((point(plane, 1, 0) - plane.origin) ** 2))
    first, second = axis_labels(plane)
    assert first == f"result → content (1 = {rms:.3g} levels RMS)"
    assert second.endswith(f"(1 = {rms:.3g} levels RMS)")
