import jax
import numpy as np
import pytest
import reference
from surfaces import empty_surface

from nstjax.analysis.study import study
from nstjax.analysis.study.loss_terms import TERMS, make_evaluators, rounding_error
from nstjax.analysis.study.table import markdown_table
from nstjax.analysis.surfaces.planes import plane_through
from nstjax.analysis.surfaces.surface import fill, make_evaluator
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.losses.objective import loss_function
from nstjax.losses.terms import LossTerms
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.problem import prepare

NOT_REFUTED = "not refuted on the tested set"
ENDS = ("here", "opposite")
ZERO = (np.zeros((6, 8, 3), np.float32),)


def bowl(image, step, data):
    """Content: a convex quadratic; style: a ring, flat on the sphere of radius 40."""
    del step
    content = ((image - data) ** 2).sum()
    style = (((image**2).sum() - 1600.0) ** 2) / 1e4
    return content + style, LossTerms(content, style, content * 0, {}, {"ring": style})


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.normal(0, 2, (6, 8, 3)).astype(np.float32) for _ in range(3)]


@pytest.fixture(scope="module")
def problem():
    """A small problem, and its loss."""
    params = jax.tree.map(np.float32, reference.random_params())
    preset = customize(
        PRESETS["gatys2016"],
        size=Size("long", 16),
        content_layers=("relu3_1",),
        style_layers=("relu1_1", "relu3_1"),
    )
    content, style = (
        np.random.default_rng(seed).random((16, 16, 3), dtype=np.float32)
        for seed in (1, 2)
    )
    loss_fn = loss_function(preset.loss)
    return prepare(content, [style], params, preset), loss_fn


def on_the_ring(direction, radius):
    """Two opposite images of this radius."""
    image = direction * radius / np.linalg.norm(direction)
    return [
        study.Member("ring", name, x)
        for name, x in zip(ENDS, (image, -image), strict=True)
    ]


def evaluators_of(loss_fn, data, group):
    return make_evaluators(loss_fn, data, np.stack([member.image for member in group]))


def test_both_precisions_see_the_same_terms(problem):
    problem, loss_fn = problem
    images = np.random.default_rng(3).normal(0, 50, (5, 16, 16, 3))
    evaluators = make_evaluators(loss_fn, problem.data, images)
    narrow, wide = evaluators.batches(images), evaluators.double(images)
    total, terms = jax.jit(loss_fn)(np.float32(images[4]), 0, *problem.data)
    expected = (total, terms.content, terms.style)
    for term, value in zip(TERMS, expected, strict=True):
        assert wide[term].dtype == np.float64
        np.testing.assert_allclose(narrow[term], wide[term], rtol=1e-4)
        np.testing.assert_allclose(narrow[term][4], value, rtol=1e-5)
        # float64 it is: float32 would repeat the same bits.
        assert (narrow[term] != wide[term]).any()
        assert 0 < evaluators.epsilon[term] < 1e-4


def test_the_rounding_error_is_relative_to_each_value():
    values = np.array([1e16, 1e3, 1e3, 2e3, 0.0])
    errors = np.array([1e9, 1e-3, 5e-4, 0, 1e-12])
    wide = dict.fromkeys(TERMS, values)
    narrow = {term: values + errors for term in TERMS}
    # Of the 0: 1e-7 over 1e-6 of the median.
    narrow["style"] = values + np.array([0, 0, 0, 0, 1e-7])
    found = rounding_error(lambda _: narrow, lambda _: wide, np.zeros(5))
    assert found == pytest.approx({"total": 1e-6, "content": 1e-6, "style": 1e-4})


def test_a_quadratic_is_not_refuted_and_a_ring_is(images):
    # The ring's radius lies within what the plane shows.
    result, content, style = images
    plane = plane_through(result * 0.1, content, style)
    axes = np.linspace(-8, 8, 9), np.linspace(-8, 8, 7)
    surface = empty_surface(plane, *axes, ["ring"])
    *_, surface = fill(surface, make_evaluator(bowl), ZERO, 16)
    evaluators = make_evaluators(bowl, ZERO, np.stack(images))
    found = study.surface_study(surface, evaluators)
    assert found["content"]["fraction"] == 0
    assert found["content"]["gap"] < 1e-6
    assert found["content"]["verdict"] == NOT_REFUTED
    assert found["content"]["excess"] == {}
    assert found["style"]["fraction"] > 0.02
    assert found["style"]["confirmed"]
    assert found["style"]["verdict"] == "refuted"
    # The two checks see the same excess, which is that of the grid.
    excess = found["style"]["excess"]
    np.testing.assert_allclose(excess["float32"], excess["float64"], rtol=1e-3)
    worst = found["style"]["worst"] * np.ptp(surface.values.style)
    np.testing.assert_allclose(-2 * excess["float64"], worst, rtol=1e-3)

    group = [
        *study.members(content, style, {1: images[0]}, result),
        *on_the_ring(result, 40),
    ]
    segments = study.segment_study(group, evaluators)
    assert segments["content"]["verdict"] == NOT_REFUTED
    assert segments["style"]["verdict"] == "refuted"
    assert segments["style"]["kinds"]["ring"]["violations"] == 1
    few = study.segment_study(group, evaluators, most=5)
    for each, count in ((segments, len(group) * (len(group) - 1) // 2), (few, 5)):
        kinds = each["style"]["kinds"].values()
        assert sum(kind["segments"] for kind in kinds) == count


def test_an_image_of_huge_loss_hides_no_other(images):
    wild = study.Member("wild", "far", images[1] * 1e4)
    group = [*on_the_ring(images[0], 41), wild]
    evaluators = evaluators_of(bowl, ZERO, group)
    found = study.segment_study(group, evaluators)
    assert found["style"]["kinds"]["ring"]["violations"] == 1
    assert found["style"]["worst_between"] == [*ENDS, 0.5]
    assert found["style"]["confirmed"]
    assert found["content"]["verdict"] == NOT_REFUTED


def test_the_excess_is_that_of_the_worst_place(images):
    near, _ = on_the_ring(images[0], 41)
    _, far = on_the_ring(images[0], 60)
    evaluators = evaluators_of(bowl, ZERO, [near, far])
    found = study.segment_study([near, far], evaluators)["style"]
    assert found["worst_between"] == [*ENDS, 0.75]
    f_a, f_b = evaluators.double(np.stack([near.image, far.image]))["style"]
    excess = found["worst"] * (0.75 * f_a + 0.25 * f_b)
    assert found["excess"]["float64"] == pytest.approx(excess, rel=1e-3)


def test_a_violation_that_float64_does_not_see_refutes_nothing(images):
    evaluators = make_evaluators(bowl, ZERO, np.stack(images))

    def deceived(points):
        values = evaluators.double(points)
        # As a coarse machine would: the middle is seen too high.
        values["content"] = values["content"] + 1e3 * (np.arange(len(points)) == 2)
        return values

    evaluators = evaluators._replace(batches=deceived, one_by_one=deceived)
    group = study.members(*images[:2], {}, images[2])
    found = study.segment_study(group, evaluators)
    assert any(kind["violations"] for kind in found["content"]["kinds"].values())
    assert found["content"]["excess"]["float32"] > 0
    assert not found["content"]["confirmed"]
    assert found["content"]["verdict"] == NOT_REFUTED


def test_content_is_refuted_by_segments_and_never_by_curvature(problem):
    problem, loss_fn = problem
    random = np.random.default_rng(5)
    photo = np.asarray(problem.state.image)
    style = random.normal(0, 60, photo.shape).astype(np.float32)
    snapshots = {3: 0.5 * photo + 0.5 * style, 6: style}
    group = study.members(photo, style, snapshots, style)
    iterates = [member.name for member in group if member.kind == "iterate"]
    assert iterates == ["iterate 3", "result"]
    evaluators = evaluators_of(loss_fn, problem.data, group)
    found = study.segment_study(group, evaluators)
    assert found["content"]["verdict"] == "refuted"
    assert found["content"]["excess"]["float64"] > 0
    places = study.places(group, ["content", "noise", "middle", "result"])
    np.testing.assert_array_equal(places["middle"], style)
    np.testing.assert_array_equal(places["content"], photo)
    # A few restarts tell the signs at two of them.
    places = {name: places[name] for name in ("content", "middle")}
    curvature = study.curvature_study(
        loss_fn, problem.data, places, ("content", "style"), max_iterations=3
    )
    for ends in curvature["content"].values():
        assert not ends["negative"]
    # At the photo the style loss curves down along some direction.
    assert curvature["style"]["content"]["negative"]
    with pytest.raises(InputError, match="no image 'nowhere': known are"):
        study.places(group, ["nowhere"])

    plane = {term: {**found[term], "fraction": 0, "gap": 0} for term in TERMS}
    one = {"planes": {"random": plane}, "segments": found, "curvature": curvature}
    table = markdown_table({"one": one})
    assert "| one | segments | refuted | refuted | refuted |" in table
    assert "| one | random | 0.000 | 0.000 | 0.000 | 0.0e+00 |" in table
    rows = [line.count("|") for line in table.split("\n\n")[2].splitlines()]
    assert len(set(rows)) == 1
