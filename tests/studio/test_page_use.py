"""The page is for everybody: by keyboard, on a phone, in two tabs, back and forth."""

import json
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from urllib.request import urlopen

import pytest
from film_files import lavfi
from studio_pages import SIDE, Page, small, wait_for

pytestmark = pytest.mark.slow
AXE = "axe-core@4.14.1"
# What a person may do with the page as it is at first, by the element's id.
REACHED = {
    *("choose-photo", "choose-folder", "choose-painting", "mode", "zoom-in", "stage"),
    *("divider", "paint", "restyle", "nine", "strength", "amount", "stroke", "color"),
    *("size", "copy-command", "copy-python"),
}


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, which finds what keeps people out of a page."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm is installed, which brings axe-core")
    folder = tmp_path_factory.mktemp("axe")
    run = [npm, "pack", "--silent", AXE, f"--pack-destination={folder}"]
    subprocess.run(run, check=True, cwd=folder)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        return files.extractfile("package/axe.min.js").read().decode()


def faults(page, axe):
    page.script(axe)
    found = page.driver.execute_async_script("axe.run().then(arguments[0])")
    return [
        (fault["id"], fault["impact"], [node["target"] for node in fault["nodes"]])
        for fault in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(page, axe, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for name in ("mask-panel", "all-settings"):
        page.open_details(name)
    small(page, steps=5)
    page.click("paint")
    page.wait_for_state("done")
    assert faults(page, axe) == []


def test_the_keyboard_alone_can_do_it_all(page):
    wait_for(lambda: "/api/looks/" in page.picture())
    small(page, steps=1000)
    page.script("document.activeElement.blur()")
    seen, labels = [], []
    for _ in range(150):
        page.press("\ue004")
        name, label, shown = page.script(
            "const it = document.activeElement;"
            "const said = it.ariaLabel || it.title || it.labels?.[0]?.textContent;"
            "const { outlineStyle } = getComputedStyle(it);"
            "return [it.id || it.tagName, said || it.textContent, outlineStyle]"
        )
        if name == "BODY":
            break
        assert label.strip() and shown != "none", name
        seen.append(name)
        labels.append(label)
    assert set(seen) >= REACHED
    assert "cat.png" in labels and "Starry Night" in "\n".join(labels)
    focus = "document.getElementById(arguments[0]).focus()"
    page.script("document.querySelector('#paintings button').focus()")
    page.press(" ")
    wait_for(lambda: not page.get("paint").is_enabled())
    page.press(" ")
    wait_for(lambda: page.get("paint").is_enabled())
    wait_for(lambda: page.get("divider").is_displayed())
    page.script(focus, "divider")
    page.press("\ue014")
    assert page.get("divider").get_attribute("value") == "51"
    page.script("document.querySelector('#mask-panel summary').focus()")
    page.press(" ")
    page.script(focus, "stage")
    page.press("\ue014", "\ue014", " ")
    assert 0 < page.painted() < 0.3
    page.press("\ue009z")
    page.script(focus, "stage")
    page.press("+")
    assert page.get("zoom").text != "fit"
    page.script(focus, "paint")
    page.press("\ue007")
    page.wait_for_state("painting")
    page.script(focus, "stop")
    page.press("\ue007")
    page.wait_for_state("stopped")


def test_what_is_painted_on_the_photo_comes_back(page, server):
    small(page, steps=5)
    page.open_details("mask-panel")
    page.draw((-100, 0), (60, 30))
    painted = wait_for(page.painted)
    page.open()
    page.open_details("mask-panel")
    # The brush's outline is drawn where the pointer is, and that is gone.
    wait_for(lambda: abs(page.painted() - painted) < 0.02)
    page.click("paint")
    page.wait_for_state("done")
    page.click("mask-clear")
    wait_for(lambda: page.painted() < painted / 2)
    page.all("#strip button")[0].click()
    wait_for(lambda: abs(page.painted() - painted) < 0.02)
    (job,) = [
        job
        for path in server.folder.glob("runs/*/studio.json")
        if (job := json.loads(path.read_text())["job"]).get("stylize_mask")
    ]
    assert job["masks"] == []


def test_settings_are_brought_back_and_told_as_a_command(page):
    page.set("amount", "-1.5")
    page.set("stroke", "1")
    page.set("color", "luminance")
    page.setting("tv", "0.5")
    small(page, steps=3)
    page.click("paint")
    page.wait_for_state("done")
    page.click("copy-command")
    command = shlex.split(wait_for(lambda: page.get("copied").text))
    told = {"--beta=31.6228", "--style_scale=2", "--color=luminance", "--tv=0.5"}
    assert told | {"--steps=3", "--weights=slim", f"--size=long:{SIDE}"} < set(command)
    page.set("amount", "0")
    page.set("color", "style")
    page.setting("steps", "")
    page.all("#strip button")[0].click()
    wait_for(lambda: page.get("amount").get_attribute("value") == "-1.5")
    assert page.get("color").get_attribute("value") == "luminance"
    page.click("copy-command")
    wait_for(lambda: set(shlex.split(page.get("copied").text)) == set(command))


def test_two_tabs_show_the_same_and_one_may_be_closed(page, server):
    small(page, steps=3000)
    page.click("paint")
    page.wait_for_state("painting")
    other = Page(server)
    wait_for(lambda: other.all("#strip button"))
    other.all("#strip button")[0].click()
    other.wait_for_state("painting")
    other.click("stop")
    page.wait_for_state("stopped")
    other.driver.quit()
    page.click("resume")
    page.wait_for_state("painting")
    page.click("stop")
    page.wait_for_state("stopped")


def test_nine_are_shown_and_one_is_taken(page):
    small(page, steps=2)
    page.click("nine")
    page.wait_for_state("done")
    pictures = wait_for(
        lambda: len(page.all("#sheet img")) == 9 and page.all("#sheet button")
    )
    pictures[6].click()
    assert page.get("amount").get_attribute("value") == "-3"
    assert page.get("stroke").get_attribute("value") == "1"


def test_a_folder_is_restyled_and_taken_away_in_one_file(page, inputs, tmp_path):
    page.set("size", "256")
    page.choose("photo", inputs / "dusk.png")
    wait_for(lambda: len(page.all("#photos .thumbnail")) == 2)
    page.click("restyle-all")
    page.wait_for_state("done")
    wait_for(lambda: len(page.all("#sheet img")) == 2)
    link = page.get("save-all").get_attribute("href")
    (tmp_path / "all.zip").write_bytes(urlopen(link).read())
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = archive.namelist()
    assert sorted(name[4:] for name in names) == [
        "cat-stylized.png",
        "dusk-stylized.png",
    ]


def test_pictures_and_runs_are_deleted(page, server):
    small(page, steps=2)
    page.click("paint")
    page.wait_for_state("done")
    wait_for(lambda: "/preview.jpg" in page.picture())
    page.script("window.confirm = () => true")
    page.script("document.querySelector('#photos .delete').click()")
    wait_for(lambda: "a run needs this picture" in page.get("message").text)
    for _ in page.all("#strip .thumbnail"):
        count = len(page.all("#strip .thumbnail"))
        page.script("document.querySelector('#strip .delete').click()")
        wait_for(lambda count=count: len(page.all("#strip .thumbnail")) == count - 1)
    assert not list(server.folder.glob("runs/*"))
    for kind in ("photos", "paintings"):
        while page.all(f"#{kind} .delete"):
            count = len(page.all(f"#{kind} .delete"))
            page.script(f"document.querySelector('#{kind} .delete').click()")
            wait_for(
                lambda kind=kind, count=count: len(page.all(f"#{kind} .delete")) < count
            )
    assert not page.get("paint").is_enabled()
    wait_for(lambda: page.get("empty").is_displayed())


def test_it_fits_a_phone(page, axe):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.open_details("mask-panel")
    assert page.script("return document.documentElement.scrollWidth") <= 390
    assert faults(page, axe) == []


def test_a_video_is_restyled_and_shown(page, tmp_path):
    film = tmp_path / "film.mp4"
    lavfi("testsrc=size=96x64:rate=4:duration=1", "-pix_fmt", "yuv420p", film)
    count = len(page.all("#photos .thumbnail"))
    page.choose("photo", film)
    wait_for(lambda: len(page.all("#photos .thumbnail")) == count + 1)
    assert not page.get("paint").is_enabled()
    page.set("size", "256")
    page.click("restyle")
    page.wait_for_state("done")
    video = wait_for(lambda: page.all("#sheet video"))[0]
    wait_for(lambda: page.script("return arguments[0].videoWidth", video) == 96)
    link = page.all("#sheet a")[0].get_attribute("href")
    assert b"ftyp" in urlopen(link).read(16)
