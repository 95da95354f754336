"""The studio's server, and its page in a headless browser."""

import contextlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
SIDE = 128
WAIT_SECONDS = 600


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Server:
    """nstjax-studio in a folder, which can be killed and started again."""

    def __init__(self, folder, *options, answers=200):
        self.folder, self.port, self.options = folder, free_port(), options
        self.address = f"http://127.0.0.1:{self.port}/"
        self.status = answers
        self.start()

    def start(self):
        command = ["-m", "nstjax.studio.command", "--no-browser"]
        options = [f"--port={self.port}", f"--folder={self.folder}", *self.options]
        with open(self.folder / "printed.txt", "w") as file:
            command = [sys.executable, "-u", *command, *options]
            self.process = subprocess.Popen(command, stdout=file)
        wait_for(self.answers)

    def printed(self):
        return (self.folder / "printed.txt").read_text()

    def answers(self):
        assert self.process.poll() is None, "the server has ended"
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/")
            return connection.getresponse().status == self.status
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
        # Where there is no Selenium, other tests still use the server.
        from selenium import webdriver

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
        return self.driver.find_element("id", name)

    def choose(self, name, *paths):
        self.get(f"{name}-file").send_keys("\n".join(map(str, paths)))

    def drop(self, name, *paths):
        """Drop files and folders, as from the desktop."""
        place = self.get(f"{name}-drop").rect
        data = {"items": [], "files": list(map(str, paths)), "dragOperationsMask": 1}
        where = {key: place[key] + 5 for key in ("x", "y")}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "data": data, **where}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

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

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def open_details(self, name):
        self.script("document.getElementById(arguments[0]).open = true", name)
        wait_for(lambda: self.get("mask-canvas").is_displayed() or name != "mask-panel")

    def draw(self, start, *moves):
        """A stroke, from so far beside the middle of the stage."""
        from selenium.webdriver import ActionChains

        actions = ActionChains(self.driver)
        actions.move_to_element_with_offset(self.get("stage"), *start).click_and_hold()
        for move in moves:
            actions.move_by_offset(*move)
        actions.release().perform()

    def press(self, *keys):
        """Press keys, where the keyboard is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def painted(self):
        """The share of the photo that any region covers."""
        return self.script(
            "const canvas = document.getElementById('mask-canvas');"
            "const { data } = canvas.getContext('2d')"
            ".getImageData(0, 0, canvas.width, canvas.height); let count = 0;"
            "for (let i = 3; i < data.length; i += 4) count += data[i] > 0;"
            "return 4 * count / data.length"
        )

    def step(self):
        _, _, after = self.get("run-text").text.partition("step ")
        return int(after.split()[0]) if after else 0

    def wait_for_state(self, *states):
        wait_for(lambda: self.state() in states)

    def requests(self):
        """The addresses that the browser has asked for."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                yield message["params"]["request"]["url"]


def small(page, steps=60):
    """Settings of a run that takes seconds."""
    page.set("size", "256")
    page.setting("size", f"long:{SIDE}")
    page.setting("steps", str(steps))
    page.setting("init", "content")
    page.set("weights", "slim")
