"""What the server answers, over HTTP."""

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studio_pages import Server, wait_for


def ask(server, method, path, body=None, **headers):
    """(status, body) of a request; a body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def line(server, *given, **headers):
    """The one line that a request is refused with."""
    status, text = ask(server, *given, **headers)
    assert status == 400
    said = json.loads(text)["error"]
    assert said and "\n" not in said and str(server.folder) not in said
    return said


def picture(side=40, form="PNG", seed=0):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def upload(server, data, kind="photo", name="a.png"):
    status, text = ask(server, "POST", f"/api/pictures?kind={kind}&name={name}", data)
    assert status in (200, 201), text
    return json.loads(text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/state", "/page/studio.js"])
def test_no_other_page_is_answered(server, headers, path):
    assert ask(server, "GET", path, **headers)[0] == 403
    assert ask(server, "POST", "/api/runs", {}, **headers)[0] == 403


def test_a_file_is_named_by_what_it_holds(server):
    data = picture()
    name = "..%2F..%2Fetc%2Fpass%00wd.png"
    found = upload(server, data, name=name)
    assert found["name"] == "passwd.png"
    stored = server.folder / "pictures" / f"{found['id']}.png"
    assert stored.read_bytes() == data
    assert upload(server, data, name="again.png")["id"] == found["id"]
    path = f"/api/pictures/{found['id']}"
    assert ask(server, "GET", f"{path}/original") == (200, data)
    for what in ("view.jpg", "thumbnail.jpg"):
        status, text = ask(server, "GET", f"{path}/{what}")
        assert status == 200
        assert Image.open(io.BytesIO(text)).size == (40, 40)
    assert ask(server, "DELETE", path)[0] == 200
    assert not stored.exists()
    assert "there is no picture" in line(server, "DELETE", path)


def test_a_picture_without_its_own_format_is_refused(server):
    said = line(server, "POST", "/api/pictures?kind=photo", b"GIF89a, but no picture")
    assert "not a picture" in said or "cannot be read" in said
    assert "empty" in line(server, "POST", "/api/pictures?kind=photo", b"")
    assert "kind must be" in line(server, "POST", "/api/pictures?kind=x", picture())
    headers = {"Content_Length": str(2**40)}
    assert "MiB" in line(server, "POST", "/api/pictures", b"", **headers)
    assert not list(server.folder.glob("pictures/*.part"))


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/runs", b"{", "no JSON object"),
        ("/api/runs", [1], "no JSON object"),
        ("/api/runs", b" " * 2**21, "more than"),
        ("/api/runs", {"type": "paint"}, "photo"),
        ("/api/runs", {"type": "rm -rf"}, "no job"),
        ("/api/runs/20260101-000000-abcdef/more", {"steps": 3}, "no run"),
        ("/api/runs/20260101-000000-abcdef/stop", {}, "no run"),
        ("/api/plan", {"type": "nine", "painting": {}}, "photo"),
        ("/api/looks", {"photo": "a" * 20, "styles": []}, "length"),
        ("/api/looks", {"photo": "a" * 20, "styles": [{}], "side": 9}, "side"),
        ("/api/looks", {"photo": ["a"]}, "photo"),
        ("/api/runs", b"[" * 10**5, "no JSON object"),
    ],
)
def test_a_wrong_request_is_one_line(server, path, body, says):
    assert says in line(server, "POST", path, body)


@pytest.mark.parametrize(
    "path",
    [
        "/api/looks/..%2f..%2fspeeds.json",
        "/page/..%2fserver.py",
        "/page/../server.py",
        "/api/runs/20260101-000000-abcdef/results/..%2f..%2fa.png",
    ],
)
def test_no_file_outside_is_given(server, path):
    assert ask(server, "GET", path)[0] in (400, 404)


def test_a_wrong_setting_is_told_before_the_run(server):
    photo = upload(server, picture(seed=1))["id"]
    painting = upload(server, picture(seed=2), "painting")["id"]
    job = {"type": "paint", "photo": photo, "styles": [{"picture": painting}]}
    for settings, says in (
        ({"beta": "much"}, "beta=much: give a number"),
        ({"colour": "style"}, "unknown setting 'colour'"),
        ({"init": "/etc/passwd"}, "init must be one of"),
    ):
        given = job | {"settings": settings}
        assert says in line(server, "POST", "/api/runs", given)
        assert says in line(server, "POST", "/api/plan", given)
    assert not list(server.folder.glob("runs/*"))
    status, text = ask(server, "POST", "/api/plan", job)
    assert status == 200
    assert json.loads(text)["command"].startswith("nstjax ")


@pytest.mark.parametrize("seconds", [0, 0.03, 0.1, 1, 3])
def test_a_run_may_be_stopped_at_any_moment(server, seconds):
    photo = upload(server, picture(seed=1))["id"]
    styles = [{"picture": upload(server, picture(seed=2), "painting")["id"]}]
    job = {"type": "paint", "photo": photo, "styles": styles, "weights": "slim"}
    key = json.loads(ask(server, "POST", "/api/runs", job)[1])["key"]

    def state():
        found = json.loads(ask(server, "GET", "/api/state")[1])["runs"]
        return next(run["state"] for run in found if run["key"] == key)

    time.sleep(seconds)
    assert ask(server, "POST", f"/api/runs/{key}/stop", {})[0] == 200
    wait_for(lambda: state() not in ("queued", "running", "stopping"))
    assert state() == "stopped"
    assert ask(server, "DELETE", f"/api/runs/{key}")[0] == 200


def processes(server, module):
    """The process ids of a module of ours that this server has started."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
            if parent == server.process.pid and module.encode() in command:
                yield int(status.parent.name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_what_dies_is_told_and_the_server_lives(server):
    photo = upload(server, picture(seed=1))["id"]
    styles = [{"picture": upload(server, picture(seed=2), "painting")["id"]}]
    job = {"type": "paint", "photo": photo, "styles": styles, "weights": "slim"}
    key = json.loads(ask(server, "POST", "/api/runs", job)[1])["key"]
    (run,) = wait_for(lambda: list(processes(server, "nstjax.studio.child")))
    os.kill(run, signal.SIGKILL)

    def error():
        found = json.loads(ask(server, "GET", "/api/state")[1])["runs"]
        return next(run["error"] for run in found if run["key"] == key)

    assert "memory ran out: choose a smaller size" in wait_for(error)
    for worker in processes(server, "nstjax.studio.worker"):
        os.kill(worker, signal.SIGKILL)
    path = "/api/pictures?kind=photo&name=a.png"
    wait_for(lambda: ask(server, "POST", path, picture(seed=3))[0] == 201)
    wait_for(lambda: ask(server, "POST", "/api/plan", job)[0] == 200)
    assert ask(server, "DELETE", f"/api/runs/{key}")[0] == 200


def test_one_folder_has_one_studio(server):
    command = [sys.executable, "-m", "nstjax.studio.command", "--nobrowser"]
    options = [f"--folder={server.folder}", "--port=1"]
    second = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=120
    )
    assert second.returncode == 2
    assert "stop the studio that uses it" in second.stderr
    assert second.stderr.count("\n") == 1


def test_elsewhere_the_page_takes_its_token(tmp_path):
    shared = Server(tmp_path, "--host=0.0.0.0", answers=401)
    try:
        said = wait_for(lambda: shared.printed().partition("?token=")[2])
        token = said.split()[0]
        host = {"Host": f"192.168.7.7:{shared.port}"}
        assert ask(shared, "GET", "/api/state", **host)[0] == 401
        assert ask(shared, "GET", "/?token=wrong", **host)[0] == 401
        assert ask(shared, "GET", f"/?token={token}", **host)[0] == 303
        cookie = {"Cookie": f"nstjax_token={token}"}
        assert ask(shared, "GET", "/api/state", **host, **cookie)[0] == 200
        named = {"Host": "evil.example"}
        assert ask(shared, "GET", "/api/state", **named, **cookie)[0] == 403
    finally:
        shared.end()
