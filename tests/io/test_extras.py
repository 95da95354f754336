import errno
import functools
import io
import os
import tempfile

import pytest

from nstjax.errors import EncodingError, InputError
from nstjax.feedforward.training.log import event_writer
from nstjax.io import ffmpeg
from nstjax.io.extras import Extras, free_path, write_somewhere


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "Full", "out.png"), InputError("out.png cannot be written")],
)
def test_an_extra_that_fails_is_told_once(error, caplog):
    extras = Extras()
    for what in ("the preview", "the log", "the preview"):
        with extras.writing(what):
            raise error
    assert extras.missing == {"the preview", "the log"}
    with extras.writing("the log"):
        pass
    assert extras.missing == {"the preview"}
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("out.png cannot be written")
    assert caplog.messages[0].endswith("; the run goes on without the preview")
    # Defects are not hidden.
    with pytest.raises(TypeError), extras.writing("the preview"):
        raise TypeError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The folders in which a result may end: asked for, current, temporary."""
    folders = [tmp_path / name for name in ("asked", "current", "temporary")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[1])
    monkeypatch.setattr(tempfile, "tempdir", str(folders[2]))
    return folders


def write_unless(*refused):
    def write(path):
        if path in refused or path.parent.absolute() in refused:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_text("the result")

    return write


def test_a_result_is_written_where_it_can_be(places, caplog):
    asked, current, temporary = places
    result = asked / "out.png"
    assert write_somewhere(result, write_unless()) == result
    assert caplog.messages == []
    beside = write_somewhere(result, write_unless(result))
    assert beside == asked / "out_2.png"
    assert caplog.messages == [
        f"{result} cannot be written (No space left on device); wrote {beside} instead"
    ]
    elsewhere = write_somewhere(result, write_unless(asked))
    assert elsewhere.absolute() == current / "out.png"
    # What is there is somebody's.
    elsewhere = write_somewhere(result, write_unless(asked))
    assert elsewhere.absolute() == current / "out_2.png"
    last = write_somewhere(result, write_unless(asked, current))
    assert last == temporary / "out.png"
    assert last.read_text() == "the result"
    # One whose folder is gone, too.
    gone = write_somewhere(asked / "gone" / "new.png", write_unless())
    assert gone.absolute() == current / "new.png"


@pytest.mark.parametrize(
    ("error", "tries"),
    [(OSError(errno.ENOSPC, "Full", "out.mp4"), 4), (EncodingError("too wide"), 1)],
)
def test_a_result_that_has_no_place_is_the_first_error(places, error, tries):
    tried = []

    def write(path):
        tried.append(path)
        raise error if len(tried) == 1 else OSError("a later one")

    with pytest.raises(type(error)) as told:
        write_somewhere(places[0] / "out.mp4", write)
    assert told.value is error
    assert len(tried) == tries
    assert [name for folder in places for name in os.listdir(folder)] == []


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (1, b"[mp4] av_write_frame(): No space left on device", OSError),
        (256 - errno.ENOSPC, b"", OSError),
        (234, b"Invalid argument", EncodingError),
        (-9, b"", EncodingError),
    ],
)
def test_a_full_disk_is_told_from_other_failures(status, said, kind):
    error = ffmpeg.failure("out.mp4", status, io.BytesIO(said))
    assert type(error) is kind
    assert (error.errno == errno.ENOSPC) == (kind is OSError)


def test_free_paths_count_up(tmp_path):
    path = tmp_path / "out.tar.gz"
    for expected in ("out.tar.gz", "out.tar_2.gz", "out.tar_3.gz"):
        assert free_path(path) == tmp_path / expected
        free_path(path).touch()


@pytest.mark.parametrize("failing", ["mkdir", "open", "flush"])
def test_events_that_fail_are_told_once(failing, tmp_path, caplog, monkeypatch):
    records = pytest.importorskip("tensorboardX.record_writer")
    folder = tmp_path / "events"
    if failing == "mkdir":
        folder.touch()
    else:
        place = {"open": tmp_path, "flush": "/dev/full"}[failing]
        opened = functools.partial(open, place, "wb")
        monkeypatch.setattr(records, "open_file", lambda path: opened())
    extras = Extras()
    with event_writer(folder, 1, extras) as write:
        for step in range(1, 30):
            write({"step": step, "total": 1.0})
    assert extras.missing == {"TensorBoard's events"}
    (note,) = caplog.messages
    assert note.endswith("; the run goes on without TensorBoard's events")
