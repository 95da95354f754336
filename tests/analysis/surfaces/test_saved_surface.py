import contextlib
import os

import numpy as np
import pytest
from forked import killed_after
from PIL import Image

from nstjax.analysis.surfaces import saved_surface
from nstjax.analysis.surfaces.file import read_surface
from nstjax.analysis.surfaces.planes import contrast, project
from nstjax.analysis.surfaces.request import (
    SurfaceRequest,
    parse_line,
    parse_nodes,
    parse_ranges,
)
from nstjax.analysis.surfaces.saved_surface import compute_surface
from nstjax.errors import InputError
from nstjax.io.locks import held
from nstjax.io.run_log import read_run
from nstjax.runs.saved_run import read_saved_run

LOSS_SURFACE = "experiments.loss_surface"
SMALL = {"grid": (3, 2)}


@pytest.fixture(scope="module")
def run(tmp_path_factory, slim_weights, command):
    """A run of six steps, of which three were kept."""
    folder = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    for name, size in {"photo.png": (64, 48), "painting.png": (56, 72)}.items():
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size).save(folder / name)
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


def compute(path, run, **options):
    request = SurfaceRequest(**{**SMALL, **options})
    return compute_surface(path, run, request, batch=4, quiet=True)


def test_surface_of_a_run_agrees_with_its_log(run, tmp_path):
    path = tmp_path / "surface.h5"
    surface = compute(path, run)
    logged = read_run(run.folder).log

    def total(losses):
        weights = surface.weights
        return losses @ [weights["alpha"], weights["beta"], weights["tv"]]

    marks = surface.trajectories["run"]
    assert marks.names == ("1", "2", "4", "6")
    steps = [1, 2, 4, 6]
    np.testing.assert_allclose(total(marks.losses), logged["total"][steps], rtol=1e-4)
    np.testing.assert_allclose(marks.losses[:, 0], logged["content"][steps], rtol=1e-4)
    np.testing.assert_allclose(marks.coordinates[-1], 0, atol=1e-6)
    points = surface.points
    assert points.names == ("result", "content", "style")
    np.testing.assert_allclose(points.losses[0], marks.losses[-1])
    np.testing.assert_allclose(points.residuals, 0, atol=1e-5)
    # The photo has no content loss, and everything is in sight.
    assert points.losses[1, 0] < 1e-6 * points.losses[2, 0]
    for axis, coordinates in enumerate((surface.s, surface.t)):
        shown = points.coordinates[:, axis]
        margin = 0.3 * np.ptp(shown)
        assert coordinates[0] == pytest.approx(shown.min() - margin)
        assert coordinates[-1] == pytest.approx(shown.max() + margin)
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
        ({"kind": "gradient"}, (-1, 1)),
        ({"kind": "hessian", "ranges": ((-0.1, 0.1), (-2, 3))}, (-0.1, 0.1)),
        ({"kind": "line", "grid": (5, 1), "line": ("content", "style")}, (-0.5, 1.5)),
    ],
)
def test_every_plane(run, tmp_path, options, s_range):
    surface = compute(tmp_path / "surface.h5", run, **options)
    assert surface.plane.kind == options["kind"]
    assert surface.done.all()
    assert (surface.s[0], surface.s[-1]) == s_range
    assert np.isfinite(surface.values.content).all()
    if options["kind"] == "line":
        assert surface.t.tolist() == [0]
        # 0 is the photo and 1 the painting.
        assert surface.values.content.argmin() == 1
        assert surface.values.style.argmin() == 3
        np.testing.assert_allclose(
            surface.values.content[[1, 3], 0],
            surface.points.losses[1:, 0],
            rtol=1e-5,
            atol=1e-3,
        )
    else:
        np.testing.assert_array_equal(surface.plane.origin, run.image)
        assert surface.plane.unit_length == contrast(run.image)
    if options["kind"] == "hessian":
        largest, smallest = surface.plane.details["eigenvalues"]
        assert largest > max(0, smallest)
    if options["kind"] == "gradient":
        # Downhill at first, and along the gradient alone.
        values = surface.values
        weights = surface.weights
        near = compute(
            tmp_path / "near.h5", run, kind="gradient", ranges=((-1e-2, 1e-2), (0, 1))
        ).values
        total = weights["alpha"] * near.content + weights["beta"] * near.style
        total += weights["tv"] * near.tv
        assert total[0, 0] < total[2, 0]
        assert values.content.shape == (3, 2)


def test_principal_plane_shows_the_trajectory(run, tmp_path):
    surface = compute(tmp_path / "surface.h5", run, kind="pca")
    marks = surface.trajectories["run"]
    assert surface.s[0] < marks.coordinates[:, 0].min()
    assert surface.t[-1] > marks.coordinates[:, 1].max()
    found = project(surface.plane, [run.snapshots[1]], ["1"], np.zeros((1, 3)))
    np.testing.assert_allclose(marks.coordinates[0], found.coordinates[0])
    with pytest.raises(InputError, match="do not span a plane"):
        compute(tmp_path / "no.h5", run._replace(snapshots={}), kind="pca")
    assert not (tmp_path / "no.h5").exists()


def test_a_broken_off_file_is_finished_and_another_ones_refused(
    run, tmp_path, monkeypatch, caplog
):
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    options = {"kind": "random_pink", "grid": (4, 3)}
    compute(whole, run, **options)
    writes = []

    def write(path, surface):
        if len(writes) == 2:
            raise KeyboardInterrupt
        writes.append(path)
        saved_surface_write(path, surface)

    saved_surface_write = saved_surface.write_surface
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(saved_surface, "write_surface", write)
        compute(broken, run, **options)
    assert read_surface(broken).done.sum() == 4
    for other, says in (
        ({"grid": (4, 4)}, r"flags grid was \[4, 3\], is \[4, 4\]"),
        ({"seed": 1}, "flags seed was 0, is 1"),
        ({"kind": "random"}, 'flags kind was "random_pink", is "random"'),
    ):
        with pytest.raises(InputError, match=says):
            compute(broken, run, **{**options, **other})
    with pytest.raises(InputError, match="result_sha256 was"):
        compute(broken, run._replace(image=run.content), **options)
    compute(broken, run, **options)
    assert broken.read_bytes() == whole.read_bytes()
    caplog.clear()
    compute(broken, run, **options)
    assert broken.read_bytes() == whole.read_bytes()


def test_an_interrupt_keeps_what_is_evaluated(run, tmp_path, monkeypatch):
    def interrupted(*arguments):
        batches = fill(*arguments)
        yield next(batches)
        yield next(batches)
        raise KeyboardInterrupt

    path = tmp_path / "surface.h5"
    fill = saved_surface.fill
    monkeypatch.setattr(saved_surface, "fill", interrupted)
    # No time to write before the end.
    monkeypatch.setattr(saved_surface, "WRITING_SHARE", -1.0)
    with pytest.raises(KeyboardInterrupt):
        compute(path, run, grid=(4, 3))
    assert read_surface(path).done.sum() == 8


def test_a_signal_ends_it_after_its_batch(run, tmp_path, monkeypatch):
    path, whole = tmp_path / "surface.h5", tmp_path / "whole.h5"
    asked = iter([False, True])
    with monkeypatch.context() as patched:
        patched.setattr(saved_surface, "requested", lambda: next(asked))
        assert compute(path, run, grid=(4, 3)).done.sum() == 8
    assert read_surface(path).done.sum() == 8
    compute(path, run, grid=(4, 3))
    compute(whole, run, grid=(4, 3))
    assert path.read_bytes() == whole.read_bytes()
    assert {"surface.h5", "whole.h5"} == set(os.listdir(tmp_path))


def test_one_process_computes_a_surface(run, tmp_path):
    path = tmp_path / "surface.h5"
    with (
        held(tmp_path / ".surface.h5.nstjax-lock", "this", "wait"),
        pytest.raises(InputError, match=r"surface\.h5 is in use by process"),
    ):
        compute(path, run, grid=(4, 3))
    assert os.listdir(tmp_path) == []


def test_a_killed_command_leaves_a_surface_that_is_finished(run, tmp_path):
    path, whole = tmp_path / "surface.h5", tmp_path / "whole.h5"
    # At first it is written with no node, then with those of the first batch.
    killed_after(
        "nstjax.analysis.surfaces.saved_surface.write_surface",
        *(LOSS_SURFACE, f"--run={run.folder}", f"--output={path}"),
        *("--grid=4x3", "--quiet", "--batch=5"),
        count=2,
    )
    assert read_surface(path).done.sum() == 5
    request = SurfaceRequest(grid=(4, 3))
    for output in (path, whole):
        compute_surface(output, run, request, batch=5, quiet=True)
    assert path.read_bytes() == whole.read_bytes()


# --- flags ---------------------------------------------------------------------------


def test_what_flags_mean():
    assert parse_nodes(None, "pca") == (51, 51)
    assert parse_nodes(None, "line") == (201, 1)
    assert parse_nodes("3x1001", "plane3") == (3, 1001)
    assert parse_ranges("-.5:1e1", "line")[0] == (-0.5, 10)
    assert parse_line("content:style") == ("content", "style")


@pytest.mark.parametrize(
    "text", ["", "51", "0x5", "1x5", "5x", "5x1002", "5 x 5", "-5x5", "5x5x5", "²x5"]
)
def test_bad_grids(text):
    with pytest.raises(InputError, match="is not understood: give 51x51"):
        parse_nodes(text, "plane3")
    with pytest.raises(InputError, match="is not understood: give 201"):
        parse_nodes(f"{text}x", "line")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1:1",
        "-1:1,2:1",
        "1:1,0:1",
        "0:1,0:inf",
        "nan:1,0:1",
        "a:b,0:1",
        "0:1,1:1e39",
        "0,1,2",
    ],
)
def test_bad_ranges(text):
    with pytest.raises(InputError, match="is not understood: give -1:1,-1:1"):
        parse_ranges(text, "plane3")
    with pytest.raises(InputError, match=r"give -0\.5:1\.5"):
        parse_ranges(f"{text},0:1", "line")


@pytest.mark.parametrize("text", ["", "result", "result:result", "a:b", "content:"])
def test_bad_lines(text):
    with pytest.raises(InputError, match="give two of result, content, style"):
        parse_line(text)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "give --run=DIR"),
        (("--run=nowhere",), "nowhere holds no run"),
        (("--run=nowhere", "--output=."), ". is a folder: give the name of a file"),
        (("--run=nowhere", "--output=/"), "/ is a folder: give the name of a file"),
        (("--plane=weights", "--sweep=no.h5", "--output=/"), "/ is a folder: give"),
    ],
)
def test_bad_commands_are_one_line(flags, says, program):
    status, _, err = program(LOSS_SURFACE, *flags)
    assert status == 2
    assert says in err
    assert len(err.splitlines()) == 1
