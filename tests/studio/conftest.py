"""The studio in a browser of its own, with a photo and a painting."""

import pytest
from studio_pages import CHROMIUM, DRIVER, SIDE, Page, Server, wait_for

import nstjax
from nstjax.io.demo import demo_pictures


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
    """The page with both; in the end, it has asked for nothing from elsewhere."""
    pytest.importorskip("selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium and chromedriver are installed")
    opened = Page(server)
    opened.choose("photo", inputs / "cat.png")
    wait_for(lambda: opened.all("#photos button"))
    opened.choose("painting", inputs / "dusk.png")
    wait_for(lambda: opened.all("#paintings button"))
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
