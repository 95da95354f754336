import functools

import pytest

from nstjax.feedforward.training.log import event_writer
from nstjax.io.extras import Extras


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
