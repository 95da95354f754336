"""Two processes on this machine that work on one thing together."""

import contextlib
import json
import pathlib
import shutil
import socket

import numpy as np
import pytest
import training_gallery
from command_lines import (
    PICTURES,
    SHALLOW,
    check_bad,
    listing,
    metrics,
    save_pictures,
)
from forked import run_forked
from programs import start

import nstjax
from nstjax.analysis import figures
from nstjax.analysis.sweeps.file import read_sweep
from nstjax.feedforward.networks.model_file import network_tensors, read_model
from nstjax.io.run_log import read_run
from nstjax.runtime import mesh

NSTJAX, SWEEP = "nstjax.commands.nstjax", "experiments.sweep"
# One block of the network.
LAYERS = ("--content_layers=relu1_2", "--style_layers=relu1_1,relu1_2")
FLAGS = (*PICTURES, *SHALLOW, *LAYERS, "--preview_seconds=0.01")
SETTINGS = ("--size=32", "--steps=2", "--optimizer=adam", "--grid=beta=1;10;100")
GRID = (*PICTURES, *SETTINGS, *LAYERS)
# name: the program, its arguments, and those of the second process beside them.
JOBS = {
    # The first one: a library that the processes are joined with takes signals away.
    "signal": (NSTJAX, (*FLAGS, "--workdir=run", "--resume", "--steps=100000"), ()),
    "missing": (NSTJAX, (*FLAGS, "--workdir=run"), ("--stylize_mask=nowhere.png",)),
    "paint": (
        NSTJAX,
        (*FLAGS, "--workdir=two", "--output=two.png", "--snapshots=1", "--montage"),
        ("--workdir=second", "--output=second.png"),
    ),
    "sweep": (SWEEP, (*GRID, "--workdir=two"), ()),
}

ENDS = ("status", "out", "err")
TOGETHER = """
import pathlib, sys
tests, jobs = sys.argv[1:]
sys.path.insert(0, tests)
import two_processes
two_processes.fork(pathlib.Path(jobs))
"""


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def joining():
    """The flags of processes that work together, but for their numbers."""
    return (
        f"--coordinator=localhost:{free_port()}",
        "--num_processes=2",
        "--coordinator_timeout=600",
    )


def totals(folder):
    return [row["total"] for row in metrics(folder)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, slim_weights, command):
    """A folder for each job, with pictures, and the two processes' work in it."""
    top = tmp_path_factory.mktemp("together")
    jobs = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NSTJAX_WEIGHTS", str(slim_weights))
        for name, (module, arguments, second) in JOBS.items():
            (top / name).mkdir()
            save_pictures(top / name, [(picture, (64, 48)) for picture in PICTURES])
            jobs[name] = {
                "module": module,
                "arguments": [*arguments, *joining()],
                "second": second,
                "signal": name == "signal",
            }
        with contextlib.chdir(top / "signal"):
            assert command(*FLAGS, "--workdir=run")[0] == 0
        shutil.copytree(top / "signal" / "run", top / "begun")
        (top / "jobs.json").write_text(json.dumps(jobs))
        found = run_forked(
            TOGETHER, pathlib.Path(__file__).parents[1], top / "jobs.json"
        )
        assert found[0] == 0, found
        yield top


@pytest.fixture
def together(folders, monkeypatch):
    """together(job) -> status, output and errors of each, in the job's folder."""

    def ended(name):
        monkeypatch.chdir(folders / name)
        texts = [
            [(folders / f"{name}.{number}.{end}").read_text() for end in ENDS]
            for number in range(2)
        ]
        return [(int(status), out, err) for status, out, err in texts]

    return ended


def test_two_processes_paint_what_one_paints(together, command):
    (status, out, _), (other_status, other_out, other_err) = together("paint")
    assert (status, other_status) == (0, 0)
    assert "nstjax: wrote two.png after 2 steps" in out
    assert other_out == ""
    assert "error" not in other_err
    added = listing(pathlib.Path()).keys()
    assert {path for path in added if "second" in path} == set()
    assert {"two.png", "two_montage.png", "two/snapshot_000001.png"} < added

    command(*FLAGS, "--workdir=one", "--output=one.png")
    np.testing.assert_allclose(totals("two"), totals("one"), rtol=1e-5)
    images = [read_run(pathlib.Path(folder)).image for folder in ("one", "two")]
    np.testing.assert_allclose(*images, atol=1e-2)
    pictures = [255 * nstjax.read_image(f"{name}.png") for name in ("one", "two")]
    np.testing.assert_allclose(*pictures, atol=1.01)

    # One process goes on where two have been.
    command(*FLAGS, "--workdir=two", "--resume", "--steps=3")
    command(*FLAGS, "--workdir=three", "--steps=3")
    np.testing.assert_allclose(totals("two"), totals("three"), rtol=1e-5)


def test_a_signal_to_one_process_stops_both(together):
    (status, out, _), (other_status, other_out, _) = together("signal")
    assert (status, other_status) == (130, 143)
    assert "--resume goes on from here" in out
    assert other_out == ""
    rows = metrics("run")
    assert len(rows) >= 6
    assert [row["step"] for row in rows] == list(range(len(rows)))
    # The row of the last step of the first run is evaluated again.
    np.testing.assert_allclose(totals("run")[:3], totals("../begun"), rtol=1e-5)


def test_what_one_process_cannot_read_ends_both(together):
    (status, _, err), (other_status, _, other_err) = together("missing")
    assert (status, other_status) == (2, 2)
    assert "another process could not go on" in err
    assert "nowhere.png" in other_err
    assert not pathlib.Path("run").exists()


def test_two_processes_run_one_sweep(together, program, monkeypatch):
    # What figures look like has tests of their own.
    monkeypatch.setattr(figures, "save_figure", lambda _, path: path.touch())
    found = together("sweep")
    assert [status for status, _, _ in found] == [0, 0], found
    assert found[1][1:] == ("", "")
    assert program(SWEEP, *GRID, "--workdir=one")[0] == 0
    folders = [pathlib.Path(name) for name in ("one", "two")]
    one, two = (read_sweep(folder / "sweep.h5") for folder in folders)
    np.testing.assert_allclose(one.log["total"], two.log["total"], rtol=1e-5)
    np.testing.assert_allclose(one.images, np.float32(two.images), atol=1)
    paths = [set(listing(folder)) for folder in folders]
    assert paths[0] == paths[1]


JOINING = "--coordinator={} --num_processes={} --process_id={}"
FREE = "localhost:{port}"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--coordinator=localhost:99", "add --num_processes and --process_id"),
        ("--num_processes=2 --process_id=0", "add --coordinator"),
        ("--process_id=0 --coordinator_timeout=0", "timeout must be 1 or more, got 0"),
        ("--coordinator=auto", "coordinator=auto: the processes cannot be joined ("),
        ("--mesh=columns=2", "give rows=N"),
        ("--mesh=rows=99", "give a number from 1 to 1"),
        (JOINING.format("auto", 2, 0), "give HOST:PORT of the first process"),
        (JOINING.format(f"x:{'9' * 5000}", 2, 0), "give HOST:PORT of the first"),
        (JOINING.format("localhost:99", 2, 2), "process_id must lie in 0..1, got 2"),
        (JOINING.format("localhost:99", 0, 0), "num_processes must be 1 or more"),
        (JOINING.format(FREE, 2, 1), "did not answer within 1 seconds"),
        (JOINING.format(FREE, 3, 0), "only 1 of 3 processes came in time"),
    ],
    ids=lambda text: text[:60],
)
def test_flags_that_do_not_fit_are_refused(flags, says, studio, command):
    flags = flags.format(port=free_port()).split()
    check_bad(command, *FLAGS, "--coordinator_timeout=1", *flags, says=says)


def test_a_mesh_leaves_out_no_process(monkeypatch):
    monkeypatch.setattr(mesh, "count_processes", lambda: 2)
    monkeypatch.setattr(mesh.jax, "devices", lambda: [0, 1])
    with pytest.raises(nstjax.InputError, match="leaves out some of the 2 devices"):
        mesh.read_mesh("rows=1")


def test_a_port_that_is_taken_is_refused(studio, command):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        flags = JOINING.format(f"localhost:{port}", 2, 0).split()
        check_bad(command, *FLAGS, *flags, says=f"port {port} cannot be used here")


# Most of its lines are those of a training in one process.
@pytest.mark.slow
def test_two_processes_go_on_with_a_training(gallery, program):
    (gallery / "alone").mkdir()
    train = (*training_gallery.ONE, "--steps=3", "--log_every=1")
    train = (*train, "--checkpoint_every=2")
    with contextlib.chdir(gallery / "alone"):
        assert program(training_gallery.TRAIN, *train)[0] == 0
    shutil.copytree(gallery / "alone", gallery / "together")
    one, two = (gallery / name / "run" for name in ("alone", "together"))
    (two / "checkpoints" / "000003.safetensors").unlink()
    (two / "model.safetensors").unlink()
    shared = ("-m", training_gallery.TRAIN, *train, *joining())
    both = [start(*shared, f"--process_id={i}", cwd=two.parent) for i in range(2)]
    with contextlib.ExitStack() as stack:
        for each in both:
            stack.callback(each.kill)
        (_, err), (other_out, other_err) = (
            each.communicate(timeout=600) for each in both
        )
    assert [each.returncode for each in both] == [0, 0], err + other_err
    assert other_out == ""
    np.testing.assert_allclose(totals(two), totals(one), rtol=1e-5)
    assert [row["step"] for row in metrics(two)] == [1, 2, 3]
    models = [read_model(folder / "model.safetensors") for folder in (one, two)]
    tensors = [network_tensors(model.network) for model in models]
    for name, tensor in tensors[0].items():
        np.testing.assert_allclose(tensors[1][name], tensor, rtol=1e-4, atol=1e-5)
