"""What people write as styles, and what it means."""

import numpy as np
import pytest
import restyle_models
from PIL import Image

from nstjax.errors import InputError
from nstjax.feedforward.inference.style_specifications import (
    load_restyler,
    parse_styles,
    specify_styles,
    styles_text,
)
from nstjax.feedforward.networks.model_file import write_model
from nstjax.images.resizing import Size


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of a small model of each kind, which stand for the bundled ones."""
    bundled = restyle_models.stand_for_bundled(monkeypatch)
    for name, model in bundled.items():
        write_model(tmp_path / f"{name}.safetensors", model)
    for name in ("red", "blue"):
        Image.new("RGB", (80, 60), name).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(style, model=None):
    return load_restyler(parse_styles([style]), model, "slim")


def specified(style, model=None, longest=48, **options):
    restyler, items = load(style, model), parse_styles([style])
    size = Size("long", longest)
    return specify_styles(restyler, items, style_size=size, **options)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("wave", [("wave", 1.0)]),
        (" wave : 0.3 , scream:.7", [("wave", 0.3), ("scream", 0.7)]),
        ("a/b.png:2,c.png", [("a/b.png", 2.0), ("c.png", 1.0)]),
        ("C:\\pictures\\a.png", [("C:\\pictures\\a.png", 1.0)]),
        ("wave:0", [("wave", 0.0)]),
    ],
)
def test_styles_as_people_write_them(text, items):
    assert parse_styles([text]) == items


def test_names_of_files_that_look_like_several_styles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("red, blue.jpg", "12:30.jpg", "a:2", "c,d.jpg"):
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for texts, items in (
        (["red, blue.jpg", "a,b:0.5"], {"red, blue.jpg": 1, "a": 1, "b": 0.5}),
        (
            ["red, blue.jpg:3", r"c\,d.jpg:.5,a"],
            {"red, blue.jpg": 3, "c,d.jpg": 0.5, "a": 1},
        ),
        (["12:30.jpg:0.5,a:2"], {"12:30.jpg": 0.5, "a:2": 1}),
        (["~/c,d.jpg"], {f"{tmp_path}/c,d.jpg": 1}),
    ):
        assert parse_styles(texts) == list(items.items())


@pytest.mark.parametrize("text", ["", "wave,", ":0.3", "wave,wave:0.2"])
def test_styles_that_say_nothing(text):
    with pytest.raises(InputError, match="names or paintings with commas between"):
        parse_styles([text])


def test_styles_choose_the_model(models):
    for style, model in (("wave,scream", None), ("wave", "painterly.safetensors")):
        assert load(style, model).model.styles == restyle_models.STYLES
    assert load("red.png,blue.png").arbitrary


PAINTED = "scream is a style of painterly, not of arbitrary"
NAMED = "red.png is a painting, and the styles of painterly"


@pytest.mark.parametrize(
    ("style", "model", "says"),
    [
        ("mosaic", None, "mosaic is no style.*are wave, scream, lilies, or give"),
        ("missing.png", None, "missing.png is no style"),
        ("wave,red.png", None, "cannot be mixed"),
        ("red.png,scream", "arbitrary", f"{PAINTED}: leave"),
        ("red.png,scream", "arbitrary.safetensors", f"{PAINTED}.safetensors: leave"),
        ("red.png", "painterly", f"{NAMED} are wave"),
        ("red.png", "painterly.safetensors", f"{NAMED}.safetensors are wave"),
    ],
)
def test_styles_that_no_model_has(style, model, says, models):
    with pytest.raises(InputError, match=says):
        load(style, model)


def test_a_mixture_is_named_by_its_shares(models):
    (one,) = specified("wave:1,scream:3")
    assert one.name == "wave25-scream75"
    np.testing.assert_allclose(one.styles[0], [0.25, 0.75, 0.0])
    # A mixture of one is that style.
    (one,) = specified("wave:0,scream:5")
    np.testing.assert_array_equal(one.styles[0], [0, 1, 0])


def test_all_styles_one_by_one(models):
    made = specified("all")
    assert [one.name for one in made] == list(restyle_models.STYLES)
    np.testing.assert_array_equal([one.styles[0] for one in made], np.eye(3))
    with pytest.raises(InputError, match="all does not exist"):
        specified("all", model="arbitrary")


def test_a_row_goes_through_all_styles(models):
    made = specified("wave,scream,lilies", steps=5)
    weights = np.array([one.styles[0] for one in made])
    expected = np.float64([[2, 0, 0], [1, 1, 0], [0, 2, 0], [0, 1, 1], [0, 0, 2]]) / 2
    np.testing.assert_allclose(weights, expected, atol=1e-7)
    assert made[1].name == "wave to scream 0.50"
    with pytest.raises(InputError, match="give two styles or more"):
        specified("wave", steps=5)


def test_regions_have_a_style_each(models):
    (one,) = specified("wave,lilies", regions=True)
    np.testing.assert_array_equal(one.styles, np.eye(3)[[0, 2]])
    assert one.name == "wave-lilies"


def test_paintings_are_made_smaller_but_not_larger(models, monkeypatch):
    sizes = []

    def style_of(_, painting):
        sizes.append(painting.shape)
        return (np.zeros(6), np.ones(6))

    monkeypatch.setattr(type(load("red.png")), "style_of", style_of)
    for longest in (40, 400):
        specified("red.png", longest=longest)
    assert sizes == [(30, 40, 3), (60, 80, 3)]


def test_paintings_are_named_by_their_files_shortly(models):
    assert specified("red.png:1,blue.png:1")[0].name == "red50-blue50"
    names = [f"{number}{'a' * 30}.png" for number in range(5)]
    for name in names:
        (models / name).write_bytes((models / "red.png").read_bytes())
    assert specified(",".join(names))[0].name == f"0{'a' * 30}20-and-4-others"
    long = f"{'a' * 200}.png"
    (models / "red.png").rename(long)
    assert specified(long)[0].name == "a" * 100
    assert specified(f"{long},blue.png", regions=True)[0].name == "a" * 100


def test_a_list_of_styles(models):
    assert styles_text(None).splitlines() == [
        "wave    The Great Wave, Hokusai, 1831",
        "scream",
        "lilies",
    ]
    assert "any painting" in styles_text("arbitrary")
