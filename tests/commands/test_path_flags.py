"""Flags that are paths: home folders, lists, and that no command forgets one."""

import ast
import pathlib

import pytest
from absl import flags

import nstjax
from nstjax.commands import path_flags

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = [
    path
    for folder in ("nstjax", "experiments", "weights_convert")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "flags.DEFINE" in path.read_text(encoding="utf-8")
]
NAMES = {
    "content_mask", "coarse_style", "fine_style", "initial", "input", "mask", "model",
    "models", "network_picture", "output", "paintings", "photos", "pictures", "run",
    "settings", "style_mask", "styles", "stylize_mask", "surfaces", "sweep", "teacher",
    "weights", "workdir",
}  # fmt: skip


def plain_flags(path: pathlib.Path) -> list[str]:
    """Flags that are defined as text, and whose name or help tells of a path."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "flags.DEFINE_string",
            "flags.DEFINE_list",
            "flags.DEFINE_multi_string",
        ):
            name, *others = [
                constant.value
                for argument in node.args
                for constant in ast.walk(argument)
                if isinstance(constant, ast.Constant)
                and isinstance(constant.value, str)
            ]
            words = set(" ".join(others).lower().replace(".", " ").split())
            if name in NAMES or words & {"file", "files", "folder", "path"}:
                found.append(name)
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_flags_of_paths_are_defined_as_such(path):
    assert plain_flags(path) == []


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder."""
    monkeypatch.setenv("HOME", ".")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("home")
def test_home_is_expanded_at_the_beginning_only():
    assert path_flags.expand_home("~/a.png") == "./a.png"
    assert path_flags.expand_home("~") == "."
    assert path_flags.expand_home("a~/~.png") == "a~/~.png"
    assert path_flags.expand_home("~nobody-here/a.png") == "~nobody-here/a.png"
    pathlib.Path("~").mkdir()
    pathlib.Path("~/a.png").touch()
    assert path_flags.expand_home("~/a.png") == "~/a.png"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a.png,b.png", ["a.png", "b.png"]),
        (r"a\,b.png,~/c.png", ["a,b.png", "./c.png"]),
        ("paint,ing.png", ["paint,ing.png"]),
        ("~/paint,ing.png", ["./paint,ing.png"]),
        ("paint,ing.png,b.png", ["paint", "ing.png", "b.png"]),
        (r"a\b.png", [r"a\b.png"]),
        ("", []),
    ],
)
def test_lists_of_paths(text, paths):
    pathlib.Path("paint,ing.png").touch()
    assert path_flags.split_paths(text) == paths


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("none", None),
        ("", None),
        ("~/map.png", "./map.png"),
        (r"~/a.png+~/b\+c.png", ("./a.png", "./b+c.png")),
        ("x+y.png", "x+y.png"),
    ],
)
def test_masks(text, mask):
    pathlib.Path("x+y.png").touch()
    assert path_flags.parse_mask(text) == mask


def test_a_mask_that_is_missing_is_told():
    with pytest.raises(nstjax.InputError, match="lacks a mask"):
        path_flags.parse_mask("a.png+")


@pytest.mark.usefixtures("home")
def test_repeated_flags_add_to_the_list():
    values = flags.FlagValues()
    path_flags.define_paths("surfaces", "~", "Files.", flag_values=values)
    values(["command"])
    assert values.surfaces == ["."]
    values(["command", "--surfaces=~/a,b", "--surfaces=c"])
    assert values.surfaces == ["./a", "b", "c"]
