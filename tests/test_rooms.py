"""Rooms: a module imports from rooms below its own, never from one above."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# From the ground up; the rooms of one floor know nothing of each other, but for those
# whose order is written here.
FLOORS = [
    ["errors", "whole_number"],
    ["runtime", "images"],
    ["network"],
    ["statistics"],
    ["losses"],
    ["tiling", "optimization"],
    ["presets"],
    ["io"],
    ["problem"],
    ["feedforward.networks"],
    ["feedforward.training", "feedforward.inference"],
    ["runs"],
    ["analysis"],
    ["analysis.convexity", "analysis.sweeps"],
    ["analysis.surfaces"],
    ["analysis.study"],
    ["commands"],
    ["studio"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# A file of foreign weights is converted when somebody gives one.
UPWARD = {("nstjax/io/weights.py", "weights_convert")}
CORE = FLOORS[1][1:] + [room for floor in FLOORS[2:7] for room in floor] + ["problem"]
DISK = ("os", "pathlib", "shutil", "tempfile", "h5py", "safetensors")


def imported(path: pathlib.Path) -> list[str]:
    """The modules that a file imports, at its top or lazily."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def room_of(module: str) -> str | None:
    """The room of ``nstjax`` that a module is in."""
    parts = module.split(".")[1:]
    found = (name for name in (".".join(parts[:2]), *parts[:1]) if name in FLOOR)
    return next(found, None)


def problem(path: str, name: str) -> str | None:
    """What is wrong with a module's import of this name."""
    own, other = room_of(module_of(path)), room_of(name)
    top = name.split(".")[0]
    if own in CORE and (top in DISK or other == "io"):
        return f"touches the disk by {name}"
    if top in ("experiments", "weights_convert") and (path, top) not in UPWARD:
        return f"imports {name}, of {top}"
    if top == "nstjax" and other is None:
        return f"imports {name}, which is in no room"
    if top == "nstjax" and other != own and FLOOR[other] >= FLOOR[own]:
        return f"imports {name}, of {other}, not below"
    return None


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def test_each_module_has_a_room_and_imports_from_below():
    for path in (ROOT / "nstjax").glob("*/**/*.py"):
        if path.name != "__init__.py":
            module = str(path.relative_to(ROOT))
            assert room_of(module_of(module)), module
            for name in imported(path):
                assert not problem(module, name), f"{module} {problem(module, name)}"
            room = path.with_name("__init__.py")
            assert "ay import" in ast.get_docstring(ast.parse(room.read_text())), room


@pytest.mark.parametrize(
    ("path", "name", "says"),
    [
        ("losses/total", "nstjax.presets.preset", "of presets, not below"),
        ("io/weights", "experiments.film", "of experiments"),
        ("images/color", "nstjax.runtime.memory", "of runtime, not below"),
        ("network/vgg", "pathlib", "touches the disk by pathlib"),
        ("runs/film", "nstjax.run", "which is in no room"),
    ],
)
def test_a_wrong_import_is_told(path, name, says):
    assert says in problem(f"nstjax/{path}.py", name)
