"""Runs that are killed, interrupted, resumed, prolonged, or that diverge."""

import itertools
import json
import pathlib
import shutil
import signal

import h5py
import numpy as np
import pytest
import safetensors.numpy
from programs import killed_after, signaled_after

import nstjax
from nstjax import session

SNAPSHOTS = (0, 3, 9, 20, 36)
STEPS = 40


def flags(optimizer: str, folder: str, *more: str) -> tuple[str, ...]:
    return (
        "photo.png",
        "painting.png",
        "--size=48",
        f"--optimizer={optimizer}",
        f"--steps={STEPS}",
        "--init=blend",
        "--noise_ratio=0.4",
        "--snapshots=" + ",".join(map(str, SNAPSHOTS)),
        "--checkpoint_every=7",
        "--preview_seconds=0",
        "--quiet",
        f"--workdir={folder}",
        *more,
    )


def metrics(folder: str) -> list[dict]:
    """The rows of metrics.jsonl without the time, which no two runs share."""
    text = pathlib.Path(folder, "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        del row["seconds"]
    return rows


def config(folder: str) -> dict:
    """What config.json says, without where the pictures lie."""
    found = json.loads(pathlib.Path(folder, "config.json").read_text())
    for name in ("content", "styles"):
        del found["request"][name]
    return found


def run_arrays(folder: str) -> dict[str, bytes]:
    """Every array of run.h5 but the time, bit for bit."""
    arrays = {}
    with h5py.File(pathlib.Path(folder, "run.h5")) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()].tobytes()})
                if isinstance(item, h5py.Dataset) and name != "log/seconds"
                else None
            )
        )
    return arrays


def check_equal(folder: str, other: str) -> None:
    """Two working folders hold the same run, bit for bit."""
    assert metrics(folder) == metrics(other)
    arrays = run_arrays(folder)
    assert arrays.keys() >= {"image", "snapshots/000000", "log/total"}
    assert arrays == run_arrays(other)
    names = sorted(path.name for path in pathlib.Path(folder).iterdir())
    assert names == sorted(path.name for path in pathlib.Path(other).iterdir())
    assert {"stylized.png", "checkpoint.safetensors"} <= set(names)
    assert config(folder) == config(other)
    for name in names:
        # The others were compared above but for the time and the pictures' place.
        if name not in ("metrics.jsonl", "run.h5", "config.json"):
            contents = pathlib.Path(folder, name).read_bytes()
            assert contents == pathlib.Path(other, name).read_bytes(), name


def check_snapshots(folder: str) -> None:
    found = sorted(path.name for path in pathlib.Path(folder).glob("snapshot_*"))
    assert found == [f"snapshot_{step:06d}.png" for step in SNAPSHOTS]


def checkpoint_step(folder: str) -> int:
    path = pathlib.Path(folder, "checkpoint.safetensors")
    return int(safetensors.numpy.load_file(path)["step"])


@pytest.fixture(scope="session")
def whole_runs(tmp_path_factory):
    """Where the first test that needs an uninterrupted run leaves it."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def uninterrupted(studio, command, whole_runs):
    """uninterrupted(optimizer) -> its working folder."""

    def folder(optimizer: str) -> str:
        kept = whole_runs / optimizer
        if not kept.exists():
            assert command(*flags(optimizer, "whole"))[0] == 0
            shutil.move("whole", kept)
        return str(kept)

    return folder


def resume(command, optimizer: str, folder: str, *more: str) -> str:
    status, out, err = command(*flags(optimizer, folder, "--resume", *more))
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize(
    ("optimizer", "count", "function"),
    [
        ("adam", 30, "session.progress_text"),
        ("lbfgs", 30, "session.progress_text"),
        # Between the two files of the third checkpoint.
        ("adam", 3, "io.runlog.write_run"),
    ],
)
def test_killed_run_resumes_bit_equal(
    optimizer, count, function, studio, command, uninterrupted
):
    whole = uninterrupted(optimizer)
    arguments = flags(optimizer, "run")
    killed_after(f"nstjax.{function}", "nstjax", *arguments, count=count)
    # It was under way: past its first checkpoints, before its end, and its log is
    # ahead of the checkpoint.
    assert 0 < checkpoint_step("run") < len(metrics("run")) <= STEPS
    assert not pathlib.Path("run/stylized.png").exists()
    resume(command, optimizer, "run")
    check_snapshots("run")
    check_equal("run", whole)


def test_run_killed_before_its_first_checkpoint_resumes_from_the_start(
    studio, command, uninterrupted
):
    whole = uninterrupted("adam")
    arguments = flags("adam", "run", f"--checkpoint_every={STEPS}")
    killed_after("nstjax.session.progress_text", "nstjax", *arguments, count=3)
    assert not pathlib.Path("run/checkpoint.safetensors").exists()
    # The interval between checkpoints decides nothing about the picture.
    resume(command, "adam", "run")
    check_equal("run", whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_and_says_how_to_go_on(
    number, studio, command, uninterrupted
):
    whole = uninterrupted("adam")
    function, arguments = "nstjax.session.progress_text", flags("adam", "run")
    status, out, err = signaled_after(number, function, "nstjax", *arguments, count=30)
    assert (status, err) == (130, "")
    assert "the same command with --resume goes on from here" in out
    step = checkpoint_step("run")
    assert 30 <= step < STEPS
    assert f"wrote run/stylized.png after {step} steps" in out
    # Nothing that was done is lost: the checkpoint is of the last step in the log.
    assert [row["step"] for row in metrics("run")] == list(range(step))
    with h5py.File("run/run.h5") as file:
        picture = np.asarray(nstjax.deprocess(file["image"][()]))
    shown = nstjax.read_image("run/stylized.png")
    assert np.abs(shown - picture).max() <= 0.501 / 255
    resume(command, "adam", "run")
    check_snapshots("run")
    check_equal("run", whole)


def shortened(folder: str, *more: str) -> tuple[str, ...]:
    return flags("adam", folder, "--snapshots=0,3,9", *more)


def test_more_steps_go_on_like_a_longer_run(studio, command):
    assert command(*shortened("long", "--steps=12"))[0] == 0
    assert command(*shortened("run", "--steps=5"))[0] == 0
    assert command(*shortened("run", "--steps=12", "--resume"))[0] == 0
    assert [row["step"] for row in metrics("run")] == list(range(13))
    check_equal("run", "long")


def test_resuming_a_finished_run_only_rewrites_its_result(studio, command):
    assert command(*shortened("run", "--steps=5"))[0] == 0
    shutil.copytree("run", "before")
    pathlib.Path("run/stylized.png").unlink()
    assert command(*shortened("run", "--steps=5", "--resume"))[0] == 0
    check_equal("run", "before")


def test_half_written_last_line_is_mended(studio, command):
    assert command(*shortened("run", "--steps=5"))[0] == 0
    assert command(*shortened("whole", "--steps=12"))[0] == 0
    with open("run/metrics.jsonl", "a") as file:
        file.write('{"step": 6, "total": 1')
    assert command(*shortened("run", "--steps=12", "--resume"))[0] == 0
    check_equal("run", "whole")


def test_best_image_survives_a_resume(studio, command):
    # At this rate Adam overshoots at once: the best image comes before the resume.
    wild = ("--learning_rate=2000", "--keep=best")
    assert command(*shortened("long", *wild, "--steps=12"))[0] == 0
    assert np.argmin([row["total"] for row in metrics("long")]) < 5
    assert command(*shortened("last", *wild, "--steps=12", "--keep=last"))[0] == 0
    best = pathlib.Path("long/stylized.png").read_bytes()
    assert pathlib.Path("last/stylized.png").read_bytes() != best
    assert command(*shortened("run", *wild, "--steps=5"))[0] == 0
    assert command(*shortened("run", *wild, "--steps=12", "--resume"))[0] == 0
    check_equal("run", "long")


@pytest.mark.parametrize(
    ("optimizer", "flag", "step"),
    [
        ("adam", "--learning_rate=1e30", 1),
        ("lbfgs", "--learning_rate=1e38", 1),
        # Within float32, and the loss is not.
        ("adam", "--beta=1e38", 0),
    ],
)
def test_diverging_run_says_so_and_writes_the_last_good_image(
    optimizer, flag, step, studio, command
):
    status, out, err = command(
        "photo.png", "painting.png", "--size=48", "--steps=9", "--quiet",
        f"--optimizer={optimizer}", flag, "--workdir=run", "--preview_seconds=1e-9",
    )  # fmt: skip
    assert status == 1
    assert err.startswith("nstjax: error: the loss became ")
    assert f" at step {step}: " in err
    assert err.count("\n") == 1
    assert "wrote run/stylized.png, the last image of finite loss" in out
    # Only the initial image had a finite loss, or none had: it is the photo.
    photo = nstjax.resize(nstjax.read_image("photo.png"), 36, 48)
    np.testing.assert_allclose(nstjax.read_image("run/stylized.png"), photo, atol=0.003)
    assert not pathlib.Path("run/preview.png").exists()
    assert not list(pathlib.Path("run").glob(".nstjax-*"))


def press_after_steps(monkeypatch, presses: dict[int, int]) -> None:
    """Press Ctrl-C so many times while such a step is logged."""
    plain = session.progress_text
    steps = itertools.count(1)

    def progress_text(info) -> str:
        for _ in range(presses.get(next(steps), 0)):
            signal.raise_signal(signal.SIGINT)
        return plain(info)

    monkeypatch.setattr(session, "progress_text", progress_text)


PLAIN = (
    "photo.png", "painting.png", "--size=48", "--optimizer=adam", "--quiet",
    "--output=out.png", "--preview_seconds=1e-9",
)  # fmt: skip


def test_interrupt_without_workdir_writes_the_picture_so_far(
    studio, command, monkeypatch
):
    assert command(*PLAIN, "--steps=4", "--output=four.png")[0] == 0
    press_after_steps(monkeypatch, {4: 1})
    before = signal.getsignal(signal.SIGINT)
    status, out, err = command(*PLAIN, "--steps=50")
    assert (status, err) == (130, "")
    assert "wrote out.png after 4 steps" in out
    assert "a run with --workdir=DIR can be resumed" in out
    four = pathlib.Path("four.png").read_bytes()
    assert pathlib.Path("out.png").read_bytes() == four
    assert not pathlib.Path("out_preview.png").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_stops_at_once(studio, command, monkeypatch):
    press_after_steps(monkeypatch, {4: 2})
    before = sorted(studio.iterdir())
    status, out, err = command(*PLAIN, "--steps=50")
    assert (status, err) == (130, "nstjax: error: interrupted\n")
    assert "wrote" not in out
    assert sorted(studio.iterdir()) == before
