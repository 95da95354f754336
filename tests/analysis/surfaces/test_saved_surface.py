import contextlib
import os
from unittest import mock

import numpy as np
import pytest
from command_lines import check_refused, save_pictures
from forked import killed_after

from nstjax.analysis.surfaces import planes, saved_surface
from nstjax.analysis.surfaces.file import read_surface, write_surface
from nstjax.analysis.surfaces.geometry import bounding_range, contrast, project
from nstjax.analysis.surfaces.planes import SurfaceRequest
from nstjax.analysis.surfaces.saved_surface import compute_surface
from nstjax.analysis.surfaces.surface import total
from nstjax.errors import InputError
from nstjax.io.locks import held
from nstjax.io.run_log import read_run
from nstjax.runs.saved_run import read_saved_run

LOSS_SURFACE = "experiments.loss_surface"


@pytest.fixture(scope="module")
def run(tmp_path_factory, slim_weights, command):
    """A run of six steps, of which three were kept."""
    folder = tmp_path_factory.mktemp("run")
    save_pictures(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NSTJAX_WEIGHTS", str(slim_weights))
        with contextlib.chdir(folder):
            status, _, err = command(
                *("photo.png", "painting.png", "--steps=6", "--size=24"),
                *("--workdir=run", "--snapshots=1,2,4", "--quiet", "--init=noise"),
                *("--tv=0.01", "--content_layers=relu1_2", "--optimizer=adam"),
                "--style_layers=relu1_1,relu1_2",
            )
        assert status == 0, err
        yield read_saved_run(folder / "run")


def compute(path, run, batch=4, **options):
    request = SurfaceRequest(**{"grid": (3, 2), **options})
    return compute_surface(path, run, request, batch=batch, quiet=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "surface.h5"


def check_finished(path, run, **options):
    """The rest is computed, to the bytes of a surface that is computed at once."""
    whole = path.with_name("whole.h5")
    for output in (path, whole):
        compute(output, run, **options)
    assert path.read_bytes() == whole.read_bytes()
    assert {path.name, "whole.h5"} == set(os.listdir(path.parent))


def test_surface_of_a_run_agrees_with_its_log(run, path):
    surface = compute(path, run)
    logged = read_run(run.folder).log
    marks, steps = surface.trajectories["run"], [1, 2, 4, 6]
    assert marks.names == ("1", "2", "4", "6")
    totals = marks.losses @ [surface.weights[name] for name in ("alpha", "beta", "tv")]
    np.testing.assert_allclose(totals, logged["total"][steps], rtol=1e-4)
    np.testing.assert_allclose(marks.losses[:, 0], logged["content"][steps], rtol=1e-4)
    np.testing.assert_allclose(marks.coordinates[-1], 0, atol=1e-6)
    points = surface.points
    assert points.names == ("result", "content", "style")
    np.testing.assert_allclose(points.losses[0], marks.losses[-1])
    np.testing.assert_allclose(points.residuals, 0, atol=1e-5)
    # The photo has no content loss, and everything is in sight.
    assert points.losses[1, 0] < 1e-6 * points.losses[2, 0]
    ends = surface.s[[0, -1]], surface.t[[0, -1]]
    np.testing.assert_allclose(ends, bounding_range(points.coordinates))
    assert surface.done.all()
    assert np.isfinite(surface.values.style).all()
    assert list(surface.values.style_layers) == ["relu1_1", "relu1_2"]
    assert "levels RMS" in surface.labels[0]
    about = read_surface(path).about
    assert about["vgg_sha256"] == run.network.sha256
    assert about["settings"] == run.settings
    assert about["config"]["image_hw"] == [18, 24]


@pytest.mark.parametrize(
    ("options", "s_range"),
    [
        ({"kind": "random", "norm": "channel", "seed": 3}, (-1, 1)),
        ({"kind": "random_pink"}, (-1, 1)),
        ({"kind": "gradient", "ranges": ((-1e-2, 1e-2), (0, 1))}, (-1e-2, 1e-2)),
        ({"kind": "hessian", "ranges": ((-0.1, 0.1), (-2, 3))}, (-0.1, 0.1)),
        ({"kind": "line", "grid": (5, 1), "line": ("content", "style")}, (-0.5, 1.5)),
    ],
)
def test_every_plane(run, path, options, s_range):
    surface = compute(path, run, **options)
    plane, content = surface.plane, surface.values.content
    assert plane.kind == options["kind"]
    assert surface.done.all()
    assert (surface.s[0], surface.s[-1]) == s_range
    assert np.isfinite(content).all()
    if plane.kind == "line":
        assert surface.t.tolist() == [0]
        # 0 is the photo and 1 the painting.
        assert content.argmin() == 1
        assert surface.values.style.argmin() == 3
        ends = surface.points.losses[1:, 0]
        np.testing.assert_allclose(content[[1, 3], 0], ends, rtol=1e-5, atol=1e-3)
    else:
        np.testing.assert_array_equal(plane.origin, run.image)
        assert plane.unit_length == contrast(run.image)
    if plane.kind == "hessian":
        largest, smallest = plane.details["eigenvalues"]
        assert largest > max(0, smallest)
    if plane.kind == "gradient":
        # Downhill, and along the gradient alone.
        losses = total(surface, **surface.weights)
        assert losses[0, 0] < losses[2, 0]


def test_principal_plane_shows_the_trajectory(run, path):
    surface = compute(path, run, kind="pca")
    marks = surface.trajectories["run"]
    assert surface.s[0] < marks.coordinates[:, 0].min()
    assert surface.t[-1] > marks.coordinates[:, 1].max()
    found = project(surface.plane, [run.snapshots[1]], ["1"], np.zeros((1, 3)))
    np.testing.assert_allclose(marks.coordinates[0], found.coordinates[0])
    path.unlink()
    with pytest.raises(InputError, match="do not span a plane"):
        compute(path, run._replace(snapshots={}), kind="pca")
    assert not path.exists()


def test_a_killed_command_goes_on_and_another_is_refused(run, path, slim_weights):
    options = {"kind": "random_pink", "grid": (4, 3)}
    # After the second batch, as it is written.
    killed_after(
        *("nstjax.analysis.surfaces.saved_surface.write_surface", LOSS_SURFACE),
        *(f"--run={run.folder}", f"--output={path}", f"--weights={slim_weights}"),
        *("--plane=random_pink", "--grid=4x3", "--batch=4", "--quiet"),
        count=2,
    )
    assert read_surface(path).done.sum() == 4
    for other, says in (
        ({"grid": (4, 4)}, r"flags grid was \[4, 3\], is \[4, 4\]"),
        ({"seed": 1}, "flags seed was 0, is 1"),
        ({"kind": "random"}, 'flags kind was "random_pink", is "random"'),
    ):
        with pytest.raises(InputError, match=says):
            compute(path, run, **{**options, **other})
    with pytest.raises(InputError, match="result_sha256 was"):
        compute(path, run._replace(image=run.content), **options)
    check_finished(path, run, **options)
    # A finished one is left as it is.
    check_finished(path, run, **options)


@pytest.mark.parametrize(
    ("last", "ends"),
    [
        (True, contextlib.nullcontext()),
        (KeyboardInterrupt, pytest.raises(KeyboardInterrupt)),
    ],
    ids=["signal", "exception"],
)
def test_what_is_evaluated_is_kept(run, path, monkeypatch, last, ends):
    with monkeypatch.context() as patched, ends:
        requested = mock.Mock(side_effect=[False, last])
        patched.setattr(saved_surface, "requested", requested)
        # No time to write before the end.
        patched.setattr(saved_surface, "WRITING_SHARE", -1.0)
        compute(path, run, grid=(4, 3))
    assert read_surface(path).done.sum() == 8
    check_finished(path, run, grid=(4, 3))


def test_a_plane_is_a_line_in_one_table(run, path, program, monkeypatch):
    def mirrored(run, request):
        images = run.image, run.image[:, ::-1], run.image[::-1]
        return planes.plane_through(*images)._replace(kind=f"mirror {request.seed}")

    toy = planes.PlaneKind("mirrored results", mirrored, ("seed",), span=(-0.25, 0.5))
    monkeypatch.setitem(planes.PLANES, "mirror", toy)
    flags = ("--grid=2x3", "--seed=7", "--quiet", f"--output={path}")
    flags = (f"--run={run.folder}", *flags)
    assert program(LOSS_SURFACE, "--plane=mirror", *flags)[0] == 0
    surface = read_surface(path)
    assert surface.plane.kind == "mirror 7"
    assert surface.about["flags"].keys() == {"kind", "grid", "ranges", "seed"}
    assert [*surface.s, *surface.t] == [-0.25, 0.5, -0.25, 0.125, 0.5]
    assert "mirror: mirrored results" in program(LOSS_SURFACE, "--help")[1]


def test_a_surface_that_is_not_what_it_says_is_refused(run, path):
    surface = compute(path, run)
    layers = {"relu1_1": surface.values.style_layers["relu1_1"]}
    fewer = surface.values._replace(style_layers=layers)
    for change, says in (
        ({"plane": None}, "no plane of the run's size"),
        ({"values": fewer}, "another grid or other layers than it says"),
    ):
        write_surface(path, surface._replace(**change))
        with pytest.raises(InputError, match=says):
            compute(path, run)


def test_one_process_computes_a_surface(run, path):
    with (
        held(path.with_name(".surface.h5.nstjax-lock"), "this", "wait"),
        pytest.raises(InputError, match=r"surface\.h5 is in use by process"),
    ):
        compute(path, run)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "give --run=DIR"),
        (("--plane=weights",), "give --sweep=DIR, the --workdir of a sweep"),
        (("--run=nowhere",), "nowhere holds no run"),
        (("--run=nowhere", "--output=."), ". is a folder: give the name of a file"),
        (("--plane=weights", "--sweep=no.h5", "--output=/"), "/ is a folder: give"),
    ],
)
def test_bad_commands_are_one_line(flags, says, program):
    check_refused(*program(LOSS_SURFACE, *flags), says)
