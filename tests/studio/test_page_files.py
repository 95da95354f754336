"""The page's files say what the package has."""

import json
import re
from pathlib import Path

from PIL import Image

import nstjax.studio
from nstjax.feedforward.inference.style_specifications import PAINTERLY
from nstjax.feedforward.networks.model_file import bundled_model

ELSEWHERE = re.compile(r"https?:|@import|[\"'(=]//")
PAGE = Path(nstjax.studio.__file__).with_name("page")


def test_the_page_shows_the_styles_of_the_bundled_model():
    model = bundled_model(PAINTERLY)
    listed = json.loads((PAGE / "styles.json").read_text())
    assert [each["name"] for each in listed] == list(model.styles)
    assert [each["title"] for each in listed] == [*map(model.titles.get, model.styles)]
    for name in model.styles:
        with Image.open(PAGE / f"style-{name}.jpg") as image:
            assert image.size == (256, 170)


def test_nothing_on_the_page_is_from_elsewhere():
    for path in PAGE.glob("*.[hjc]*"):
        if path.suffix in (".html", ".js", ".css"):
            assert not ELSEWHERE.search(path.read_text()), path
