import numpy as np
import pytest
import restyle_models
from PIL import Image

from nstjax.errors import InputError
from nstjax.feedforward.inference import style_specifications
from nstjax.feedforward.inference.style_specifications import (
    load_restyler,
    make_looks,
    parse_styles,
    styles_text,
)
from nstjax.feedforward.networks.model_file import write_model
from nstjax.images.resizing import Size

SIZE = Size("long", 48)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of a small model of each kind, which stand for the bundled ones."""
    bundled = {
        "painterly": restyle_models.painterly(),
        "arbitrary": restyle_models.arbitrary(),
    }
    monkeypatch.setattr(style_specifications, "bundled_model", bundled.__getitem__)
    monkeypatch.setattr(
        style_specifications, "load_network", lambda weights: restyle_models.encoder()
    )
    for name, model in bundled.items():
        write_model(tmp_path / f"{name}.safetensors", model)
    for name, color in {"red": (200, 30, 20), "blue": (10, 60, 190)}.items():
        noise = np.random.default_rng(len(name)).integers(0, 40, (60, 80, 3))
        pixels = np.clip(noise + color, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("wave", [("wave", 1.0)]),
        (" wave : 0.3 , scream:.7", [("wave ", 0.3), ("scream", 0.7)]),
        ("a/b.png:2,c.png", [("a/b.png", 2.0), ("c.png", 1.0)]),
        ("C:\\pictures\\a.png", [("C:\\pictures\\a.png", 1.0)]),
        ("wave:0", [("wave", 0.0)]),
    ],
)
def test_styles_as_people_write_them(text, items):
    assert parse_styles([text]) == [(name.strip(), share) for name, share in items]


def test_names_of_files_that_look_like_several_styles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("red, blue.jpg", "12:30.jpg", "a:2", "c,d.jpg"):
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_styles(["red, blue.jpg", "wave,scream:0.5"]) == [
        *(("red, blue.jpg", 1.0), ("wave", 1.0), ("scream", 0.5)),
    ]
    assert parse_styles(["red, blue.jpg:3", r"c\,d.jpg:.5,wave"]) == [
        *(("red, blue.jpg", 3.0), ("c,d.jpg", 0.5), ("wave", 1.0)),
    ]
    assert parse_styles(["12:30.jpg:0.5,a:2"]) == [("12:30.jpg", 0.5), ("a:2", 1.0)]
    assert parse_styles(["~/c,d.jpg"]) == [(f"{tmp_path}/c,d.jpg", 1.0)]


@pytest.mark.parametrize("text", ["", "wave,", ":0.3", "wave,wave:0.2"])
def test_styles_that_say_nothing(text):
    with pytest.raises(InputError, match="names or paintings with commas between"):
        parse_styles([text])


def test_names_choose_the_painterly_model(models):
    restyler = load_restyler(parse_styles(["wave,scream"]), None, "slim")
    assert restyler.model.styles == restyle_models.STYLES
    assert load_restyler(parse_styles(["all"]), None, "slim").model.styles


def test_paintings_choose_the_arbitrary_model(models):
    assert load_restyler(parse_styles(["red.png,blue.png"]), None, "slim").arbitrary


def test_a_file_is_a_model_too(models):
    restyler = load_restyler(parse_styles(["wave"]), "painterly.safetensors", "slim")
    assert restyler.model.styles == restyle_models.STYLES


@pytest.mark.parametrize(
    ("style", "says"),
    [
        ("mosaic", "mosaic is no style.*styles are wave, scream, lilies, or give"),
        ("missing.png", "missing.png is no style"),
        ("wave,red.png", "cannot be mixed"),
    ],
)
def test_styles_that_no_model_has(style, says, models):
    with pytest.raises(InputError, match=says):
        load_restyler(parse_styles([style]), None, "slim")


@pytest.mark.parametrize("file", [False, True])
def test_a_style_of_another_model_is_named(file, models):
    names, paintings = (
        f"{name}.safetensors" if file else name for name in ("painterly", "arbitrary")
    )
    says = f"scream is a style of painterly, not of {paintings}: leave --model out"
    with pytest.raises(InputError, match=says):
        load_restyler(parse_styles(["red.png,scream"]), paintings, "slim")
    says = f"red.png is a painting, and the styles of {names} are wave, scream, lil"
    with pytest.raises(InputError, match=says):
        load_restyler(parse_styles(["red.png"]), names, "slim")


def the_looks(style, model=None, **options):
    items = parse_styles([style])
    restyler = load_restyler(items, model, "slim")
    return restyler, make_looks(restyler, items, style_size=SIZE, **options)


def test_a_mixture_is_named_by_its_shares(models):
    _, (look,) = the_looks("wave:1,scream:3")
    assert look.name == "wave25-scream75"
    np.testing.assert_allclose(look.styles[0], [0.25, 0.75, 0.0])


def test_all_styles_one_by_one(models):
    _, made = the_looks("all")
    assert [look.name for look in made] == list(restyle_models.STYLES)
    np.testing.assert_array_equal([look.styles[0] for look in made], np.eye(3))


def test_a_row_goes_through_all_styles(models):
    _, made = the_looks("wave,scream,lilies", steps=5)
    weights = np.array([look.styles[0] for look in made])
    half = 0.5
    expected = [[1, 0, 0], [half, half, 0], [0, 1, 0], [0, half, half], [0, 0, 1]]
    np.testing.assert_allclose(weights, expected, atol=1e-7)
    assert made[1].name == "wave to scream 0.50"


def test_a_row_of_one_style_is_refused(models):
    with pytest.raises(InputError, match="give two styles or more"):
        the_looks("wave", steps=5)


def test_regions_have_a_style_each(models):
    _, (look,) = the_looks("wave,lilies", regions=True)
    np.testing.assert_array_equal(look.styles, np.eye(3)[[0, 2]])
    assert look.name == "wave-lilies"


def test_paintings_are_made_smaller_but_not_larger(models, monkeypatch):
    sizes = []
    restyler = load_restyler(parse_styles(["red.png"]), None, "slim")

    def style_of(paintings):
        sizes.extend(painting.shape for painting in paintings)
        return (np.zeros(6), np.ones(6))

    monkeypatch.setattr(type(restyler), "style_of", lambda _, images: style_of(images))
    for longest in (40, 400):
        items = parse_styles(["red.png"])
        make_looks(restyler, items, style_size=Size("long", longest))
    assert sizes == [(30, 40, 3), (60, 80, 3)]


def test_paintings_are_named_by_their_files(models):
    _, (look,) = the_looks("red.png:1,blue.png:1")
    assert look.name == "red50-blue50"


def test_a_mixture_of_many_paintings_has_a_short_name(models):
    names = [f"{number}{'a' * 30}.png" for number in range(5)]
    for name in names:
        (models / name).write_bytes((models / "red.png").read_bytes())
    _, (look,) = the_looks(",".join(names))
    assert look.name == f"0{'a' * 30}20-and-4-others"


def test_long_names_of_paintings_are_cut(models):
    name = f"{'a' * 200}.png"
    (models / "red.png").rename(name)
    assert the_looks(name)[1][0].name == "a" * 100
    assert the_looks(f"{name},blue.png", regions=True)[1][0].name == "a" * 100


def test_all_is_no_painting(models):
    with pytest.raises(InputError, match="all does not exist"):
        the_looks("all", model="arbitrary")


def test_a_list_of_styles(models):
    assert styles_text(None).splitlines() == [
        "wave    The Great Wave, Hokusai, 1831",
        "scream",
        "lilies",
    ]
    assert "any painting" in styles_text("arbitrary")
