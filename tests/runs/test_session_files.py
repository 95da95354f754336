"""What a run writes where something is in its way: files, disks, its own losses."""

import errno
import os
import pathlib

import numpy as np
import pytest
from command_lines import PICTURES, check_bad, photo
from session_runs import PLAIN, metrics, shortened

import nstjax
from nstjax.io import locks, run_log
from nstjax.runs import run_files


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
    flags = (*PLAIN, "--output=", "--workdir=run", "--steps=9", flag)
    status, out, err = command(*flags, f"--optimizer={optimizer}")
    assert status == 1
    assert err.startswith("nstjax: error: the loss became ")
    assert f" at step {step}: " in err
    assert err.count("\n") == 1
    assert "wrote run/stylized.png, the last image of finite loss" in out
    # Only the initial image had a finite loss, or none had: it is the photo.
    image = nstjax.read_image("run/stylized.png")
    np.testing.assert_allclose(image, photo(), atol=0.003)
    assert not list(pathlib.Path("run").glob("*nstjax*"))


def test_a_second_run_in_the_same_folder_is_refused(studio, command):
    with locks.working_in(pathlib.Path("run")):
        says = f"run is in use by process {os.getpid()} on "
        check_bad(command, *shortened("run"), says=says)


def test_what_a_run_cannot_write_beside_its_result_is_a_note_once(
    studio, command, monkeypatch
):
    def full(path, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(run_files, "write_config", full)
    monkeypatch.setattr(run_files, "write_image", full)
    monkeypatch.setattr(run_log, "write_run", full)
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
    assert set(os.listdir()) == {*PICTURES, "out.png"}


def test_the_log_catches_up_when_there_is_room_again(studio, command, monkeypatch):
    append, calls = run_log.append_metrics, []

    def once_full(folder, rows):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        append(folder, rows)

    monkeypatch.setattr(run_log, "append_metrics", once_full)
    status, _, err = command(*shortened("run", "--steps=5"))
    assert status == 0
    assert err.count("No space left on device; ") <= 1
    assert [row["step"] for row in metrics("run")] == list(range(6))


def test_a_preview_never_takes_the_place_of_another_file(studio, command):
    preview = studio / "out.nstjax-preview" / "preview.jpg"
    preview.parent.mkdir()
    preview.write_text("mine")
    status, _, err = command(*PLAIN, "--steps=3")
    assert status == 0
    assert err.count("out.nstjax-preview is there already") == 1
    assert preview.read_text() == "mine"


def test_a_new_run_overwrites_nothing_in_its_folder(studio, command):
    mine = [studio / "run" / name for name in ("preview.jpg", ".nstjax-mine")]
    mine[0].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    assert command(*shortened("run", "--steps=1"))[0] == 0
    assert [path.read_text() for path in mine] == ["mine", "mine"]
    for name in ("run.h5", "snapshot_000000.png", "stylized.png"):
        folder = studio / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text("mine")
        says = f"{folder.name}/{name} is there already"
        check_bad(command, *shortened(folder.name, "--steps=1"), says=says)
