"""The ``nstjax-studio`` command, where it cannot begin."""

import socket

import pytest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photo.jpg"], "photo.jpg is not expected: pictures are dropped on the page"),
        (["--folder=file"], "--folder=file is a file: give a folder"),
        (["--port=PORT"], "port PORT (Address already in use): give another --port"),
        (["--port=0"], "--port=0"),
    ],
)
def test_what_cannot_begin_is_one_line(arguments, says, program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [argument.replace("PORT", port) for argument in arguments]
        options = ["--no-browser", "--folder=studio", *given]
        status, out, err = program("nstjax.studio.command", *options)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says.replace("PORT", port) in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
