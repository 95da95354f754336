import contextlib
import fcntl
import os
import re
import signal

import pytest
from forked import run_forked

from nstjax.errors import InputError
from nstjax.io import atomic, locks

TOKEN = "nstjax-0123456789abcdef"
DEAD = f".out.png.{TOKEN}"
SIGNED = locks.MARK + b"process 1 on a host\n"


def leave(folder, *names, lock=SIGNED):
    """A folder as a process leaves it that is killed."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("half")
    if lock is not None:
        (folder / locks.LOCK).write_bytes(lock)
    return folder


def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path):
    leave(tmp_path / DEAD, "new.png")
    preview = leave(tmp_path / "out.nstjax-preview", "preview.jpg")
    leave(preview / f".preview.jpg.{TOKEN}", "new.png")
    # Killed between two of the steps in which it is made.
    leave(tmp_path / f".b.{TOKEN}", lock=None)
    leave(tmp_path / f".c.{TOKEN}", lock=b"")
    with atomic.atomic_path(tmp_path / "out.png") as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_what_lives_or_is_somebodys_own_stays(tmp_path):
    live = leave(tmp_path / DEAD, "new.png")
    # A name alone says nothing.
    leave(tmp_path / f".a.{TOKEN}", "new.png", lock=None)
    leave(tmp_path / "b.nstjax-preview", "preview.jpg", lock=None)
    leave(tmp_path / f".c.{TOKEN}", "new.png", lock=b"somebody's own")
    (tmp_path / ".nstjax-notes").touch()
    before = sorted(tmp_path.rglob("*"))
    # Put into a folder of ours, whose own files go.
    edited = leave(tmp_path / "d.nstjax-preview", "preview.jpg", "edited.png")
    with open(live / locks.LOCK, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        locks.remove_dead(tmp_path)
    kept = [*before, edited, edited / "edited.png"]
    assert sorted(tmp_path.rglob("*")) == sorted(kept)


def test_one_process_holds_a_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    with locks.working_in(folder):
        with (
            pytest.raises(InputError, match=rf"{folder} is in use by process") as told,
            locks.working_in(folder),
        ):
            pass
        # The one that was refused has left the lock alone.
        assert (folder / locks.LOCK).exists()
    assert f"process {os.getpid()} on " in str(told.value)
    assert " since 20" in str(told.value)
    assert list(tmp_path.iterdir()) == []
    with contextlib.suppress(ZeroDivisionError), locks.working_in(folder):
        (folder / "kept").touch()
        raise ZeroDivisionError
    assert os.listdir(folder) == ["kept"]


@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "own", "pipe", "folder"])
def test_what_only_has_the_name_of_a_lock_stays_as_it_is(kind, tmp_path):
    thesis, folder = tmp_path / "thesis.txt", tmp_path / "run"
    lock = folder / locks.LOCK
    folder.mkdir()
    # Of a lock by its beginning.
    thesis.write_bytes(locks.MARK if kind == "hard" else b"a thesis")
    before = thesis.read_bytes()
    {
        "link": lambda: lock.symlink_to("../thesis.txt"),
        "dangling": lambda: lock.symlink_to("../new.txt"),
        "hard": lambda: lock.hardlink_to(thesis),
        "own": lambda: lock.write_text("my notes"),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }[kind]()
    found = lock.lstat()
    says = f"{lock} is no lock of nstjax: move it away"
    with pytest.raises(InputError, match=re.escape(says)), locks.working_in(folder):
        pass
    # One that is dead has left no such thing.
    os.rename(folder, tmp_path / DEAD)
    locks.remove_dead(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [DEAD, "thesis.txt"]
    after = (tmp_path / DEAD / locks.LOCK).lstat()
    assert (after.st_ino, after.st_size) == (found.st_ino, found.st_size)
    assert thesis.read_bytes() == before


def test_a_link_to_a_folder_is_none_that_a_killed_process_has_left(tmp_path):
    leave(tmp_path / "run", "preview.jpg")
    link = tmp_path / "out.nstjax-preview"
    link.symlink_to("run")
    with locks.own_folder(link) as own:
        assert not own
    assert sorted(os.listdir(tmp_path / "run")) == [locks.LOCK, "preview.jpg"]


def test_a_folder_of_a_killed_process_is_free(tmp_path):
    code = """
import os, pathlib, signal, sys
from nstjax.io import atomic, locks
folder = pathlib.Path(sys.argv[1])
(folder / "chunks").mkdir()
with (
    locks.working_in(folder),
    atomic.atomic_path(folder / "out.png") as path,
    atomic.atomic_path(folder / "chunks" / "0.h5"),
):
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_forked(code, tmp_path)[0] == -signal.SIGKILL
    assert (len(os.listdir(tmp_path)), len(os.listdir(tmp_path / "chunks"))) == (3, 1)
    with locks.working_in(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [locks.LOCK, "chunks"]
        assert os.listdir(tmp_path / "chunks") == []
    assert os.listdir(tmp_path) == ["chunks"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    code = """
import pathlib, signal, sys, time
from nstjax.runtime import interrupts
from nstjax.io import atomic, locks
folder = pathlib.Path(sys.argv[1]) / "new"
with (
    interrupts.heeded("paint"),
    locks.working_in(folder),
    locks.own_folder(folder / "out.nstjax-preview") as own,
    atomic.atomic_path(folder / "out.nstjax-preview" / "preview.jpg") as path,
):
    assert own
    path.write_text("half")
    signal.raise_signal(signal.SIGTERM)
    time.sleep(60)
"""
    assert run_forked(code, tmp_path)[0] == 143
    assert os.listdir(tmp_path) == []


def test_where_files_cannot_be_locked_nobody_is_kept_out(tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    leave(tmp_path / DEAD, "new.png")
    with (
        locks.working_in(tmp_path),
        locks.working_in(tmp_path),
        atomic.atomic_path(tmp_path / "out.png") as temporary,
    ):
        temporary.write_text("new")
    # Whether it is dead cannot be known.
    assert {DEAD, "out.png"} == set(os.listdir(tmp_path))


def test_long_names_have_a_temporary_one(tmp_path):
    for name in ("ä" * 120 + ".png", "x" * 251 + ".png"):
        with atomic.atomic_path(tmp_path / name) as temporary:
            temporary.write_text("new")
        assert (tmp_path / name).read_text() == "new"


def test_nothing_is_made_any_more_once_the_process_ends(tmp_path):
    # The main thread is about to make a folder when the other one cleans up.
    code = """
import pathlib, signal, sys, time
from nstjax.runtime import interrupts
from nstjax.io import locks
folder = pathlib.Path(sys.argv[1]) / "out.nstjax-preview"
ending = []
def wait_for_end():
    ending.append(1)
    while len(ending) < 2: time.sleep(0.001)
    # What was to be made by now would be left.
    time.sleep(0.2)
def undisturbed():
    signal.raise_signal(signal.SIGTERM)
    while not ending: time.sleep(0.001)
    ending.append(1)
    return interrupts.undisturbed()
locks.undisturbed = undisturbed
with interrupts.heeded("paint"), interrupts.cleaned_up(wait_for_end):
    with locks.own_folder(folder):
        time.sleep(60)
"""
    assert run_forked(code, tmp_path)[0] == 143
    assert os.listdir(tmp_path) == []
