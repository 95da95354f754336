import math

import numpy as np
import pytest
import reference

from nstjax.analysis.surfaces.geometry import (
    axis_labels,
    bounding_range,
    contrast,
    point,
    project,
)
from nstjax.analysis.surfaces.planes import line_through, plane_through
from nstjax.errors import InputError

IMAGES = [np.float32(reference.random_image(seed, 12, 16)) for seed in range(3)]


def test_contrast_is_the_distance_from_the_channels_means():
    checkered = np.indices((12, 16)).sum(0) % 2 * 2.0 - 1
    x = np.stack([3 * checkered + 50, 4 * checkered - 20, 0 * checkered + 7], axis=2)
    assert contrast(x) == pytest.approx(5 * math.sqrt(12 * 16))
    flat = np.full((12, 16, 3), np.float32([0.1, 20.3, -7.7]))
    with pytest.raises(InputError, match="flat"):
        plane_through(flat, *IMAGES[1:])


def test_images_of_different_sizes_are_refused():
    with pytest.raises(InputError, match=r"result and style .*16x12, 10x12"):
        plane_through(IMAGES[0], IMAGES[1], IMAGES[2][:, :10])
    with pytest.raises(InputError, match="different sizes"):
        line_through(IMAGES[0], IMAGES[1][:3], ("a", "b"))


def test_projection_is_the_closest_point_in_units_of_r():
    plane = plane_through(*IMAGES)
    stranger = np.float32(reference.random_image(7, 12, 16))
    losses = np.arange(6).reshape(2, 3)
    marks = project(plane, [stranger, IMAGES[0]], ("7", "result"), losses)
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


def test_labels_say_what_a_unit_is():
    plane = plane_through(*IMAGES)
    rms = math.sqrt(np.mean((point(plane, 1, 0) - plane.origin) ** 2))
    first, second = axis_labels(plane)
    assert first == f"result → content (1 = {rms:.3g} levels RMS)"
    assert second.endswith(f"(1 = {rms:.3g} levels RMS)")
