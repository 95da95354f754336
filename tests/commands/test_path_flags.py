"""Flags that are paths: home folders, lists, and that no command forgets one."""

import ast
import pathlib

import pytest
from absl import flags

from nstjax.commands.path_flags import define_paths
from nstjax.io.paths import expand_home, parse_mask, split_paths

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
    """The current folder, with files that have special characters in their names."""
    monkeypatch.setenv("HOME", ".")
    monkeypatch.chdir(tmp_path)
    for name in ("paint,ing.png", "x+y.png"):
        pathlib.Path(name).touch()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("read", "text", "found"),
    [
        (expand_home, "~/a.png", "./a.png"),
        (expand_home, "~", "."),
        (expand_home, "a~/~.png", "a~/~.png"),
        (expand_home, "~nobody-here/a.png", "~nobody-here/a.png"),
        (split_paths, "a.png,b.png", ["a.png", "b.png"]),
        (split_paths, r"a\,b.png,~/c.png", ["a,b.png", "./c.png"]),
        (split_paths, "paint,ing.png", ["paint,ing.png"]),
        (split_paths, "~/paint,ing.png", ["./paint,ing.png"]),
        (split_paths, "paint,ing.png,b.png", ["paint", "ing.png", "b.png"]),
        (split_paths, r"a\b.png", [r"a\b.png"]),
        (split_paths, "", []),
        (parse_mask, "none", None),
        (parse_mask, "", None),
        (parse_mask, "~/map.png", "./map.png"),
        (parse_mask, r"~/a.png+~/b\+c.png", ("./a.png", "./b+c.png")),
        (parse_mask, "x+y.png", "x+y.png"),
    ],
)
def test_paths_are_read(read, text, found):
    assert read(text) == found


@pytest.mark.usefixtures("home")
def test_a_tilde_may_be_a_folder_s_name():
    pathlib.Path("~").mkdir()
    pathlib.Path("~/a.png").touch()
    assert expand_home("~/a.png") == "~/a.png"


@pytest.mark.usefixtures("home")
def test_repeated_flags_add_to_the_list():
    values = flags.FlagValues()
    define_paths("surfaces", "~", "Files.", flag_values=values)
    values(["command"])
    assert values.surfaces == ["."]
    values(["command", "--surfaces=~/a,b", "--surfaces=c"])
    assert values.surfaces == ["./a", "b", "c"]
