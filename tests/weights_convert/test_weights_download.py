import hashlib
import http.server
import os
import pathlib
import threading

import numpy as np
import pytest

from nstjax.errors import InputError
from weights_convert.download import FILE_NAME, download

SIZE = 700_000
CONTENTS = np.random.default_rng(2).bytes(SIZE)
HASH = "sha256:" + hashlib.sha256(CONTENTS).hexdigest()
BODIES = {
    "other": bytes(SIZE),
    "portal": b"<html>Please log in</html>",
    "larger": CONTENTS * 2,
    "endless": CONTENTS * 2,
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaves as the path says that it is asked for."""

    def do_GET(self):
        behavior, given = self.path.strip("/"), self.headers.get("Range")
        self.server.requests.append((self.path, given))
        if behavior == "absent":
            self.send_error(404)
            return
        body, start = BODIES.get(behavior, CONTENTS), 0
        if given and behavior != "ignores-range":
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            if behavior == "wrong-range":
                start += 1
            self.send_response(206)
            last = len(body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(body)}")
        else:
            self.send_response(200)
        if behavior not in ("endless", "early-end"):
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if behavior in ("drops", "early-end"):
            body = body[: len(body) // 2]
        try:
            self.wfile.write(body[start:])
        except OSError:
            assert behavior == "endless"

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


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


@pytest.mark.parametrize(
    ("present", "asked"),
    [
        *((count, [f"bytes={count}-"]) for count in (1, 300_000, SIZE - 1)),
        (SIZE, []),
        (2 * SIZE, [None]),
    ],
)
def test_download_resumes(server, tmp_path, present, asked):
    (tmp_path / f"{FILE_NAME}.part").write_bytes((2 * CONTENTS)[:present])
    assert fetch(server, tmp_path, "good") == CONTENTS
    assert server.requests == [("/good", given) for given in asked]


def test_servers_that_do_not_resume(server, tmp_path):
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS[:1000])
    with pytest.raises(InputError, match="the server sent the wrong range"):
        fetch(server, tmp_path, "wrong-range")
    assert fetch(server, tmp_path, "ignores-range") == CONTENTS
    assert len(server.requests) == 2
    # A damaged part does not spoil what the mirror sends.
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / f"{FILE_NAME}.part").write_bytes(bytes(1000))
    assert fetch(server, tmp_path, "good", "good") == CONTENTS


def test_a_dropped_download_goes_on_at_the_mirror(server, tmp_path):
    assert fetch(server, tmp_path, "drops", "good") == CONTENTS
    given = server.requests[1][1]
    assert given is not None
    # requests drops the chunk that was cut off.
    assert 200_000 < int(given.removeprefix("bytes=").removesuffix("-")) <= 350_000


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
    server.shutdown()
    server.server_close()
    urls = [f"{server.url}/first", f"{server.url}/second"]
    with pytest.raises(InputError) as caught:
        download(urls, HASH, len(CONTENTS), tmp_path)
    for expected in [*urls, "refused", "pass --input=FILE"]:
        assert expected in str(caught.value)
    assert os.listdir(tmp_path) == []
