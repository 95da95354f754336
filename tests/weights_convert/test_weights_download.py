import hashlib
import http.server
import os
import pathlib
import threading

import numpy as np
import pytest

from nstjax.errors import InputError
from weights_convert.download import FILE_NAME, download

CONTENTS = np.random.default_rng(2).bytes(700_000)
HASH = "sha256:" + hashlib.sha256(CONTENTS).hexdigest()


class FileServer:
    """A local server whose behavior a test chooses by the path it asks for."""

    def __init__(self):
        self.requests: list[tuple[str, str | None]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range")))
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(
            target=self.http.serve_forever, args=(0.01,), daemon=True
        ).start()

    def answer(self, handler):
        body, behavior = CONTENTS, handler.path.strip("/")
        if behavior == "absent":
            handler.send_error(404)
            return
        if behavior == "other":
            body = bytes(len(CONTENTS))
        if behavior == "portal":
            body = b"<html>Please log in</html>"
        if behavior in ("larger", "endless"):
            body = CONTENTS * 2
        given = handler.headers.get("Range")
        start = 0
        if given and behavior != "ignores-range":
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            last = len(body) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(body)}")
        else:
            handler.send_response(200)
        if behavior not in ("endless", "early-end"):
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        if behavior in ("drops", "early-end"):
            body = body[: len(body) // 2]
        try:
            handler.wfile.write(body[start:])
        except OSError:
            assert behavior == "endless"


@pytest.fixture
def server():
    server = FileServer()
    yield server
    server.http.shutdown()
    server.http.server_close()


def fetch(server, folder, *behaviors):
    urls = [f"{server.url}/{behavior}" for behavior in behaviors]
    path = pathlib.Path(download(urls, HASH, len(CONTENTS), folder))
    assert path == folder / FILE_NAME
    assert os.listdir(folder) == [FILE_NAME]
    return path.read_bytes()


def test_download(server, tmp_path):
    assert fetch(server, tmp_path / "cache", "good") == CONTENTS
    assert fetch(server, tmp_path / "cache", "good") == CONTENTS
    assert server.requests == [("/good", None)]


@pytest.mark.parametrize("present", [1, 300_000, len(CONTENTS) - 1])
def test_download_resumes(server, tmp_path, present):
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS[:present])
    assert fetch(server, tmp_path, "good") == CONTENTS
    assert server.requests == [("/good", f"bytes={present}-")]


@pytest.mark.parametrize(
    ("part", "behavior", "asked"),
    [
        # Complete; too long; of a server that ignores the range.
        (CONTENTS, "good", 0),
        (CONTENTS * 2, "good", 1),
        (CONTENTS[:1000], "ignores-range", 1),
    ],
    ids=["complete", "too long", "range ignored"],
)
def test_a_part_that_is_not_resumed(server, tmp_path, part, behavior, asked):
    (tmp_path / f"{FILE_NAME}.part").write_bytes(part)
    assert fetch(server, tmp_path, behavior) == CONTENTS
    assert len(server.requests) == asked


def test_a_dropped_download_goes_on_at_the_mirror(server, tmp_path):
    assert fetch(server, tmp_path, "drops", "good") == CONTENTS
    given = server.requests[1][1]
    assert given is not None
    # requests drops the chunk that was cut off.
    assert 200_000 < int(given.removeprefix("bytes=").removesuffix("-")) <= 350_000


def test_a_damaged_part_does_not_spoil_the_mirror(server, tmp_path):
    (tmp_path / f"{FILE_NAME}.part").write_bytes(bytes(1000))
    assert fetch(server, tmp_path, "good", "good") == CONTENTS


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        ("other", "hash"),
        ("portal", "has 26 bytes"),
        ("larger", "has 1400000 bytes"),
        ("endless", "bytes, not 700000"),
        ("early-end", "sent 350000 bytes, not 700000"),
        ("absent", "404"),
    ],
)
def test_a_wrong_file_is_refused_and_the_mirror_asked(
    server, tmp_path, behavior, expected
):
    with pytest.raises(InputError, match=expected) as caught:
        fetch(server, tmp_path, behavior)
    assert "pass --input=FILE" in str(caught.value)
    assert os.listdir(tmp_path) == []
    assert fetch(server, tmp_path, behavior, "good") == CONTENTS
    assert server.requests[2] == ("/good", None)


def test_both_servers_dead(server, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    urls = [f"{server.url}/first", f"{server.url}/second"]
    with pytest.raises(InputError) as caught:
        download(urls, HASH, len(CONTENTS), tmp_path)
    for expected in [*urls, "refused", "pass --input=FILE"]:
        assert expected in str(caught.value)
    assert os.listdir(tmp_path) == []
