"""Pictures of the page for the documentation, on pictures that are free.

NSTJAX_SCREENSHOTS=docs has them painted at full size and written there.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studio_pages import small, wait_for

import nstjax
from nstjax.io.demo import demo_pictures

pytestmark = pytest.mark.slow
FOLDER = os.environ.get("NSTJAX_SCREENSHOTS")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, image in zip(("cat.png", "dusk.png"), demo_pictures(), strict=True):
        height, width = image.shape[:2] if FOLDER else (96, 128)
        nstjax.write_image(folder / name, nstjax.resize(image, height, width))
    return folder


def test_the_page_is_shown_as_it_is(page, tmp_path):
    folder = Path(FOLDER or tmp_path)

    def shoot(name):
        shot = Image.open(io.BytesIO(page.driver.get_screenshot_as_png()))
        shot.convert("RGB").save(folder / f"{name}.jpg", quality=88)
        assert np.asarray(shot.convert("L")).std() > 20

    page.driver.set_window_size(1400, 1040)
    wait_for(lambda: "/api/looks/" in page.picture())
    if not FOLDER:
        small(page, steps=3)
    page.click("paint")
    page.wait_for_state("done")
    wait_for(lambda: "/preview.jpg" in page.picture())
    shoot("studio")
    page.open_details("mask-panel")
    page.set("brush-size", "45")
    page.draw((0, -40), (60, 90), (60, -90), (-60, 10))
    page.script("document.getElementById('mask-panel').scrollIntoView({block: 'end'})")
    shoot("studio_where")
    page.click("mask-clear")
    page.script("document.getElementById('mask-panel').open = false")
    page.click("nine")
    wait_for(lambda: len(page.all("#sheet img")) == 9 and page.state() == "done")
    page.script("document.getElementById('sheet').scrollIntoView({block: 'end'})")
    shoot("studio_nine")
