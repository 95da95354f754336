"""The page in a real browser: what a person does there, from the drop to the file."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image
from studio_pages import SIDE, small, wait_for

import nstjax

pytest.importorskip("selenium")
pytestmark = pytest.mark.slow


def test_a_drop_shows_a_first_look_and_paint_what_the_command_paints(
    page, server, tmp_path
):
    wait_for(lambda: "/api/looks/" in page.picture())
    small(page)
    page.click("paint")
    page.wait_for_state("painting", "waiting")
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


def test_files_and_folders_are_dropped(page, inputs, tmp_path):
    (tmp_path / "holiday").mkdir()
    shutil.copy(inputs / "dusk.png", tmp_path / "holiday")
    (tmp_path / "holiday/notes.txt").write_text("no picture")
    page.drop("photo", inputs / "cat.png", tmp_path / "holiday")
    wait_for(lambda: len(page.all("#photos .thumbnail")) == 2)
    page.drop("painting", inputs / "cat.png")
    wait_for(lambda: len(page.all("#paintings .thumbnail")) == 2)
    # One picture may be both.
    assert len(page.all("#photos .thumbnail")) == 2
    wait_for(lambda: page.get("mixture").is_displayed())


def test_only_what_is_painted_changes(page, server):
    wait_for(lambda: "/api/looks/" in page.picture())
    small(page, steps=40)
    page.open_details("mask-panel")
    page.set("brush-size", "60")
    page.draw((-150, 0), (0, 120), (0, -240))
    page.click("mask-invert")
    page.click("mask-undo")
    before = set(server.folder.glob("runs/*"))
    page.click("paint")
    page.wait_for_state("done")
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
    page.wait_for_state("painting")
    step = page.step()
    page.click("pause")
    page.wait_for_state("paused")
    page.click("resume")
    page.wait_for_state("painting")
    server.end(signal.SIGKILL)
    server.start()
    page.open()
    page.wait_for_state("painting")
    wait_for(lambda: page.step() > step)
    page.click("stop")
    page.wait_for_state("stopped")


def test_a_file_that_is_no_picture_is_one_line(page, inputs, server):
    before = len(list(server.folder.glob("pictures/*.json")))
    page.choose("photo", inputs / "broken.png")
    text = wait_for(lambda: page.get("message").text)
    wait_for(lambda: "not a picture" in page.get("message").text)
    assert "\n" not in text
    assert len(list(server.folder.glob("pictures/*.json"))) == before
    assert not list(server.folder.glob("pictures/*.part"))


def test_the_page_is_what_the_package_has(server):
    page = urllib.request.urlopen(server.address).read()
    assert b"studio.js" in page
    assert b"http://" not in page.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page
