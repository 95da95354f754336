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
    return next(
        (name for name in (".".join(parts[:2]), *parts[:1]) if name in FLOOR), None
    )


def problems(path: str, module: str, imports: list[str]) -> list[str]:
    """What a module imports from where it may not."""
    own, found = room_of(module), []
    for name in imports:
        top, other = name.split(".")[0], room_of(name)
        if top in ("experiments", "weights_convert"):
            if (path, top) not in UPWARD:
                found.append(f"{path}: {own} imports {name}, of {top}")
        elif top == "nstjax" and other != own:
            if other is None:
                found.append(f"{path}: {own} imports {name}, which is in no room")
            elif FLOOR[other] >= FLOOR[own]:
                found.append(f"{path}: {own} imports {name}, of {other}, not below it")
        if own in CORE and (top in DISK or other == "io"):
            found.append(f"{path}: {own} touches the disk by {name}")
    return found


def modules() -> list[tuple[str, str]]:
    """Path and name of each module in a room."""
    paths = (path.relative_to(ROOT) for path in (ROOT / "nstjax").rglob("*.py"))
    named = ((str(path), ".".join(path.with_suffix("").parts)) for path in paths)
    return sorted(
        (path, name)
        for path, name in named
        if path.count("/") > 1 and not path.endswith("__init__.py")
    )


def test_rooms_import_from_below():
    found = []
    for path, module in modules():
        found += problems(path, module, imported(ROOT / path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "imports", "says"),
    [
        (
            "nstjax.losses.total",
            "nstjax.presets.preset.Preset",
            "of presets, not below",
        ),
        ("nstjax.io.weights", "experiments.film", "of experiments"),
        ("nstjax.images.color", "nstjax.runtime.memory", "of runtime, not below"),
        ("nstjax.network.vgg", "pathlib", "network touches the disk by pathlib"),
        ("nstjax.runs.film", "nstjax.run", "which is in no room"),
    ],
)
def test_a_wrong_import_is_told(module, imports, says):
    (problem,) = problems(f"{module.replace('.', '/')}.py", module, [imports])
    assert says in problem


def test_every_module_has_a_room():
    for path, module in modules():
        assert room_of(module), path
    for folder in {pathlib.Path(path).parent for path, _ in modules()}:
        text = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()))
        assert text and "mports" in text, folder
