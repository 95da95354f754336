"""The page in a real browser: what a person does there, from the drop to the file."""

import contextlib
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

import nstjax
from nstjax.io.demo import demo_pictures

webdriver = pytest.importorskip("selenium.webdriver")
By = pytest.importorskip("selenium.webdriver.common.by").By
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium and chromedriver are installed"
    ),
]
SIDE = 128
WAIT_SECONDS = 240


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Server:
    """nstjax-studio in a folder, which can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        command = ["-m", "nstjax.studio.command", "--nobrowser"]
        options = [f"--port={self.port}", f"--folder={self.folder}"]
        self.process = subprocess.Popen([sys.executable, *command, *options])
        wait_for(self.answers)

    def answers(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(self.address).status == 200
        return False

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        self.process.wait(60)


def wait_for(condition, seconds=WAIT_SECONDS):
    """Wait until something is there; gives it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{condition} did not come true in {seconds} seconds")


class Page:
    """The studio's page in a browser of its own."""

    def __init__(self, server):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.add_argument("--window-size=1400,1000")
        kinds = {"browser": "ALL", "performance": "ALL"}
        options.set_capability("goog:loggingPrefs", kinds)
        service = webdriver.ChromeService(DRIVER)
        self.driver = webdriver.Chrome(options, service)
        self.server = server
        self.open()

    def open(self):
        self.driver.get(self.server.address)
        wait_for(lambda: self.script("return document.body.dataset.ready"))

    def script(self, text, *given):
        return self.driver.execute_script(text, *given)

    def get(self, name):
        return self.driver.find_element(By.ID, name)

    def choose(self, name, path):
        self.get(f"{name}-file").send_keys(str(path))

    def click(self, name):
        wait_for(lambda: self.get(name).is_displayed() and self.get(name).is_enabled())
        self.get(name).click()

    def set(self, name, value):
        self.script(
            "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
            "for (const kind of ['input', 'change'])"
            "it.dispatchEvent(new Event(kind, { bubbles: true }))",
            *(name, value),
        )

    def picture(self):
        return self.get("after").get_attribute("src") or ""

    def state(self):
        text = self.get("run-text").text
        return text.partition(" · ")[0]

    def setting(self, name, value):
        """Change one of all settings."""
        self.script(
            "document.getElementById('all-settings').open = true;"
            "const row = [...document.querySelectorAll('#settings .row')].find((row) =>"
            " row.querySelector('code').textContent === arguments[0]);"
            "const field = row.querySelector('input, select');"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change'))",
            *(f"--{name}", value),
        )

    def requests(self):
        """The addresses that the browser has asked for."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                yield message["params"]["request"]["url"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    photo, painting = demo_pictures()
    nstjax.write_image(folder / "cat.png", nstjax.resize(photo, 96, SIDE))
    nstjax.write_image(folder / "dusk.png", nstjax.resize(painting, 102, SIDE))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("studio"))
    yield made
    made.end()


@pytest.fixture
def page(server, inputs):
    opened = Page(server)
    opened.choose("photo", inputs / "cat.png")
    wait_for(lambda: opened.script("return document.querySelector('#photos button')"))
    opened.choose("painting", inputs / "dusk.png")
    wait_for(
        lambda: opened.script("return document.querySelector('#paintings button')")
    )
    yield opened
    elsewhere = [
        url
        for url in opened.requests()
        if not url.startswith((server.address, "data:", "blob:"))
    ]
    errors = [
        entry
        for entry in opened.driver.get_log("browser")
        if entry["level"] == "SEVERE"
    ]
    opened.driver.quit()
    assert not elsewhere
    # What is refused, and what ended when a test killed the server.
    expected = "400 (Bad Request)", "/api/events"
    assert not [
        entry
        for entry in errors
        if not any(text in entry["message"] for text in expected)
    ]


def small(page, steps=60):
    """Settings of a run that takes seconds."""
    page.set("size", "256")
    page.setting("size", f"long:{SIDE}")
    page.setting("steps", str(steps))
    page.setting("init", "content")
    page.set("weights", "slim")


def test_a_drop_shows_a_first_look_and_paint_what_the_command_paints(
    page, server, tmp_path
):
    wait_for(lambda: "/api/looks/" in page.picture())
    small(page)
    page.click("paint")
    seen = set()

    def done():
        seen.add(page.picture())
        return page.state() == "done"

    wait_for(done)
    previews = {source for source in seen if "preview" in source}
    assert len(previews) >= 3
    page.click("copy-command")
    command = shlex.split(wait_for(lambda: page.get("copied").text))
    *command, output = command
    assert (command[0], output) == ("nstjax", "--output=stylized.png")
    run = [sys.executable, "-m", "nstjax", *command[1:], output]
    subprocess.run(run, check=True, cwd=tmp_path)
    (own,) = server.folder.glob("runs/*/stylized.png")
    assert own.read_bytes() == (tmp_path / "stylized.png").read_bytes()
    page.click("copy-python")
    wait_for(lambda: page.get("copied").text.startswith("import nstjax"))
    text = page.get("copied").text
    (tmp_path / "stylized.png").unlink()
    subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path)
    assert own.read_bytes() == (tmp_path / "stylized.png").read_bytes()
    for kind, name in (("png", "PNG"), ("jpg", "JPEG"), ("tif", "TIFF")):
        link = page.get(f"save-{kind}").get_attribute("href")
        path = tmp_path / f"taken.{kind}"
        path.write_bytes(urllib.request.urlopen(link).read())
        with Image.open(path) as image:
            assert (image.format, image.size) == (name, (SIDE, 96))


def test_only_what_is_painted_changes(page, server):
    wait_for(lambda: "/api/looks/" in page.picture())
    small(page, steps=40)
    page.script("document.getElementById('mask-panel').open = true")
    wait_for(lambda: page.get("mask-canvas").is_displayed())
    page.set("brush-size", "60")
    stage = page.get("stage")
    actions = webdriver.ActionChains(page.driver)
    actions.move_to_element_with_offset(stage, -150, 0).click_and_hold()
    actions.move_by_offset(0, 120).move_by_offset(0, -240).release().perform()
    page.click("mask-invert")
    page.click("mask-undo")
    before = set(server.folder.glob("runs/*"))
    page.click("paint")
    wait_for(lambda: page.state() == "done")
    (run,) = set(server.folder.glob("runs/*")) - before
    job = json.loads((run / "studio.json").read_text())["job"]
    (mask,) = server.folder.glob(f"pictures/{job['stylize_mask']}.png")
    painted = np.asarray(Image.open(mask).convert("L"), float) / 255
    assert 0.03 < (painted < 0.5).mean() < 0.5
    photo = nstjax.read_image(next(server.folder.glob(f"pictures/{job['photo']}.png")))
    changed = np.abs(nstjax.read_image(run / "stylized.png") - photo).mean(axis=2)
    assert changed[painted == 0].max() <= 1 / 255
    assert changed[painted == 1].mean() > 0.02


def test_a_run_goes_on_after_a_reload_and_after_the_server_is_killed(page, server):
    small(page, steps=2000)
    page.click("paint")
    wait_for(lambda: "step 1" in page.get("run-text").text)
    page.open()
    wait_for(lambda: page.state() == "painting")
    step = int(page.get("run-text").text.split("step ")[1].split()[0])
    page.click("pause")
    wait_for(lambda: page.state() == "paused")
    page.click("resume")
    wait_for(lambda: page.state() == "painting")
    server.end(signal.SIGKILL)
    server.start()
    page.open()
    wait_for(lambda: page.state() == "painting")
    wait_for(
        lambda: (
            int(page.get("run-text").text.split("step ")[1].split()[0]) > step
            if "step " in page.get("run-text").text
            else False
        )
    )
    other = Page(server)
    wait_for(
        lambda: (
            len(other.script("return [...document.querySelectorAll('#strip button')]"))
            > 0
        )
    )
    other.driver.quit()
    page.click("stop")
    wait_for(lambda: page.state() == "stopped")


def test_a_file_that_is_no_picture_is_one_line(page, inputs, server):
    before = len(list(server.folder.glob("pictures/*.json")))
    page.choose("photo", inputs / "broken.png")
    text = wait_for(lambda: page.get("message").text)
    wait_for(lambda: "not a picture" in page.get("message").text)
    assert "\n" not in text
    assert len(list(server.folder.glob("pictures/*.json"))) == before
    assert not list(server.folder.glob("pictures/*.part"))


def test_it_fits_a_phone(page):
    page.driver.set_window_size(390, 844)
    assert page.script("return document.documentElement.scrollWidth") <= 390


def test_the_page_is_what_the_package_has(server):
    page = urllib.request.urlopen(server.address).read()
    assert b"studio.js" in page
    assert b"http://" not in page.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page
