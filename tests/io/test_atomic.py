import errno
import os
import stat
from unittest import mock

import pytest

from nstjax.errors import InputError
from nstjax.io.atomic import (
    atomic_path,
    check_results,
    check_workdir,
    check_writable,
    write_atomically,
)


def test_atomic_path_replaces_only_at_the_end(tmp_path):
    path, link = tmp_path / "data.h5", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    with atomic_path(link) as temporary:
        assert temporary.parent.parent == path.parent
        assert temporary.suffix == ".h5"
        assert not temporary.exists()
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, link]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), None],
)
def test_atomic_path_keeps_the_old_file_on_failure(tmp_path, error):
    path = tmp_path / "data.bin"
    path.write_text("old")
    # Without an error nothing is written, which is one.
    with (
        pytest.raises(type(error) if error else FileNotFoundError),
        atomic_path(path) as temporary,
    ):
        if error:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_path_syncs_before_it_replaces(tmp_path):
    calls = mock.Mock()
    with (
        mock.patch("os.fsync", calls.fsync),
        mock.patch("os.replace", calls.replace),
        atomic_path(tmp_path / "data.bin") as temporary,
    ):
        temporary.write_text("new")
    assert [name for name, *_ in calls.mock_calls] == ["fsync", "replace"]


def test_permissions_follow_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_atomically(tmp_path / "out.png", b"a picture")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "out.png").stat().st_mode) == 0o640


def test_a_working_folder_may_be_made_but_not_below_a_file(tmp_path):
    check_workdir(tmp_path)
    check_workdir(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []
    # A folder of the same name inside is no obstacle.
    (tmp_path / "run" / "run").mkdir(parents=True)
    check_workdir(tmp_path / "run")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="file is a file: give a folder"):
        check_workdir(file)
    with pytest.raises(InputError, match=r"lies below .*/file, a file: give a folder"):
        check_workdir(file / "new")


def test_a_folder_without_permission_is_told(tmp_path, monkeypatch):
    # The superuser, as in containers, may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    says = f"cannot be written: the folder {tmp_path} is not writable"
    for check in (check_workdir, check_writable):
        with pytest.raises(InputError, match=says):
            check(tmp_path / "new")


def test_a_pipe_or_device_is_no_place_for_a_result(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(InputError, match=f"{path} is no regular file"):
            check_writable(path)
    (tmp_path / "link").symlink_to(tmp_path / "file.json")
    for name in ("link", "file.json"):
        check_writable(tmp_path / name)
        (tmp_path / "file.json").touch()


def test_an_input_is_no_place_for_a_result(tmp_path):
    photo, link = tmp_path / "photo.png", tmp_path / "link.png"
    photo.write_text("a photo")
    link.symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    elsewhere = tmp_path / "." / "photo.png"
    inputs = [None, "auto", photo, tmp_path / "missing.png"]
    for output in (photo, str(photo), link, tmp_path / "hard.png", elsewhere):
        with pytest.raises(InputError, match="is one of the inputs and would be over"):
            check_results([tmp_path / "new.png"], given=[output], inputs=inputs)
    check_results([tmp_path / "new.png"], inputs=inputs)


def test_links_and_what_is_there_are_no_place_for_a_result(tmp_path):
    link, there = tmp_path / "link.png", tmp_path / "there.png"
    link.symlink_to("nowhere.png")
    there.touch()
    with pytest.raises(InputError, match=r"link\.png is a link, and the file that"):
        check_results([there, link])
    check_results([there], given=[link])
    with pytest.raises(InputError, match=r"there\.png is there already, and no run"):
        check_results(given=[there], new_in=tmp_path)
    check_results(given=[there], new_in=tmp_path / "run")


def test_a_folder_that_is_gone_is_told(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"gone/file\.json"),
        atomic_path(tmp_path / "gone" / "file.json"),
    ):
        pass
