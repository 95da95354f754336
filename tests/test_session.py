"""Runs that are killed, interrupted, resumed, prolonged, or that diverge."""

import errno
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import safetensors.numpy
from commands import PICTURES
from programs import killed_after, signaled_after

import nstjax
from nstjax import recorder, session
from nstjax.io import locks, runlog

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


@pytest.mark.parametrize(
    ("number", "ending", "insist"),
    [
        (signal.SIGINT, 130, "; press Ctrl-C again to stop now"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_interrupted_run_saves_and_says_how_to_go_on(
    number, ending, insist, studio, command, uninterrupted
):
    whole = uninterrupted("adam")
    function, arguments = "nstjax.session.progress_text", flags("adam", "run")
    status, out, err = signaled_after(number, function, "nstjax", *arguments, count=30)
    assert status == ending
    # The line that answers comes from a thread of its own, and may be overtaken.
    says = (f"stopping after this step{insist}", "interrupted")
    assert err in [f"nstjax: {text}\n" for text in says]
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
    assert not list(pathlib.Path("run").glob("*nstjax*"))


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
    status, out, err = command(*PLAIN, "--steps=50")
    assert status == 130
    # The line that answers comes from a thread of its own, and may be overtaken.
    assert "stopping after this step" in err or err == "nstjax: interrupted\n"
    assert "wrote out.png after 4 steps" in out
    assert "a run with --workdir=DIR can be resumed" in out
    four = pathlib.Path("four.png").read_bytes()
    assert pathlib.Path("out.png").read_bytes() == four
    assert not list(studio.glob("*nstjax*"))


def test_interrupt_at_the_last_step_still_writes_the_picture(
    studio, command, monkeypatch
):
    press_after_steps(monkeypatch, {4: 1})
    status, out, _ = command(*PLAIN, "--steps=4")
    assert status == 130
    assert "wrote out.png after 4 steps" in out
    assert "interrupted" not in out


# A program in whose run something happens.
PATCHED = """
import os, signal, sys, time
from nstjax import cli, interrupts, session
{0}
sys.argv[0] = "nstjax"
cli.run()
"""


def patched(code: str, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PATCHED.format(code), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def test_interrupt_before_the_first_step_writes_nothing(studio):
    before = sorted(studio.iterdir())
    status, out, err = patched(
        "def run(*arguments, **options):\n"
        "    assert os.path.exists('run/.nstjax-lock')\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "session.run = run",
        *PLAIN,
        "--snapshots=0",
        "--workdir=run",
    )
    assert (status, err) == (130, "nstjax: interrupted\n")
    assert "wrote" not in out
    assert sorted(studio.iterdir()) == before


def test_second_interrupt_stops_at_once(studio):
    before = sorted(studio.iterdir())
    status, out, err = patched(
        "def progress_text(info):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    while not interrupts._signals.answered: time.sleep(0.001)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "session.progress_text = progress_text",
        *PLAIN,
        "--steps=50",
    )
    insist = "stopping after this step; press Ctrl-C again to stop now"
    assert (status, err) == (130, f"nstjax: {insist}\nnstjax: interrupted\n")
    assert "wrote" not in out
    assert sorted(studio.iterdir()) == before


def test_a_second_run_in_the_same_folder_is_refused(studio, command):
    before = sorted(studio.iterdir())
    with locks.working_in(pathlib.Path("run")):
        status, _, err = command(*shortened("run"))
        assert status == 2
        assert f"run is in use by process {os.getpid()} on " in err
        assert "choose another --workdir" in err
        assert os.listdir("run") == [".nstjax-lock"]
    assert sorted(studio.iterdir()) == before


def test_what_a_run_cannot_write_beside_its_result_is_a_note_once(
    studio, command, monkeypatch
):
    def full(path, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    for name in ("write_config", "write_metrics", "append_metrics", "write_run"):
        monkeypatch.setattr(runlog, name, full)
    monkeypatch.setattr(recorder, "write_image", full)
    status, out, err = command(
        *shortened("run", "--steps=9", "--preview_seconds=1e-9", "--output=out.png")
    )
    assert status == 1
    assert "wrote out.png after 9 steps" in out
    notes = err.splitlines()
    assert all("No space left on device" in note for note in notes)
    for what in ("a snapshot", "the log", "run.h5", "a checkpoint", "the preview"):
        assert sum(f"goes on without {what}" in note for note in notes) == 1
    assert len(notes) == 5
    assert sorted(path.name for path in studio.iterdir()) == sorted(
        [*PICTURES, "out.png"]
    )


def test_the_log_catches_up_when_there_is_room_again(studio, command, monkeypatch):
    append, calls = runlog.append_metrics, []

    def once_full(folder, rows):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        append(folder, rows)

    monkeypatch.setattr(runlog, "append_metrics", once_full)
    status, _, err = command(*shortened("run", "--steps=5"))
    assert status == 0
    assert err.count("No space left on device; ") <= 1
    assert [row["step"] for row in metrics("run")] == list(range(6))


def test_a_preview_never_takes_the_place_of_another_file(studio, command):
    (studio / "out.nstjax-preview").mkdir()
    (studio / "out.nstjax-preview" / "preview.png").write_text("mine")
    pathlib.Path("out_preview.png").write_text("mine, too")
    status, _, err = command(*PLAIN, "--steps=3")
    assert status == 0
    assert err.count("out.nstjax-preview is there already") == 1
    assert (studio / "out.nstjax-preview" / "preview.png").read_text() == "mine"
    assert pathlib.Path("out_preview.png").read_text() == "mine, too"


def test_a_new_run_overwrites_nothing_in_its_folder(studio, command):
    (studio / "run").mkdir()
    (studio / "run" / "preview.png").write_text("mine")
    (studio / "run" / ".nstjax-mine").write_text("mine")
    assert command(*shortened("run", "--steps=1"))[0] == 0
    assert (studio / "run" / "preview.png").read_text() == "mine"
    assert (studio / "run" / ".nstjax-mine").read_text() == "mine"
    for name in ("run.h5", "snapshot_000000.png", "stylized.png"):
        folder = studio / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text("mine")
        status, _, err = command(*shortened(folder.name, "--steps=1"))
        assert status == 2
        assert f"{folder.name}/{name} is there already" in err
        assert os.listdir(folder) == [name]


def test_steps_without_end_take_no_memory(studio):
    status, _, err = patched(
        "def progress_text(info):\n"
        "    status = open('/proc/self/status').read()\n"
        "    peak = int(status.partition('VmHWM:')[2].split()[0])\n"
        "    print(peak // 1000, 'MB', file=sys.stderr, flush=True)\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    return ''\n"
        "session.progress_text = progress_text",
        *PLAIN,
        "--steps=1000000000000",
    )
    assert status == 143
    assert int(err.split()[0]) < 1500
