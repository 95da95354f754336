import errno
import os
import tempfile

import pytest

from nstjax.errors import EncodingError, InputError
from nstjax.io.extras import Extras, write_somewhere


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


def test_a_result_is_written_where_it_can_be(places, caplog):
    asked, current, temporary = places
    result = asked / "out.tar.gz"

    def written(path, *refused):
        def write(path):
            if path in refused or path.parent.absolute() in refused:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            path.write_text("the result")

        place = write_somewhere(path, write).absolute()
        assert place.read_text() == "the result"
        return place

    assert written(result) == result
    assert caplog.messages == []
    beside = written(result, result)
    assert beside == asked / "out.tar_2.gz"
    assert caplog.messages == [
        f"{result} cannot be written (No space left on device); wrote {beside} instead"
    ]
    # What is there is somebody's.
    for name in ("out.tar.gz", "out.tar_2.gz", "out.tar_3.gz"):
        assert written(result, asked) == current / name
    assert written(result, asked, current) == temporary / "out.tar.gz"
    # One whose folder is gone, too.
    assert written(asked / "gone" / "new.png") == current / "new.png"


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
