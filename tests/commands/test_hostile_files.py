"""What is stored and was damaged or made up ends in one line, soon, and unwritten."""

import contextlib
import json
import os
import pathlib
import shutil
import struct
import zlib

import h5py
import hostile_files
import jax.numpy as jnp
import pytest
import safetensors.numpy
from command_lines import SHALLOW, check_bad, check_refused, save_pictures
from forked import run_forked
from hostile_files import Cases, Change
from matplotlib.text import Text
from model_files import make_model
from sweep_examples import example

from nstjax.analysis.surfaces.file import read_surface
from nstjax.analysis.surfaces.panels import View
from nstjax.analysis.surfaces.plots import map_figure
from nstjax.analysis.surfaces.surface import NO_MARKS
from nstjax.analysis.sweeps.file import read_sweep, write_sweep
from nstjax.errors import InputError
from nstjax.feedforward.networks.model_file import read_model, write_model
from nstjax.io import config as config_file
from nstjax.io import run_log as runlog
from nstjax.io.checkpoint import SCALE, read_checkpoint
from nstjax.runs.request import recorded_request

RUN = ("photo.png", "painting.png", "--workdir=run", *SHALLOW, "--preview_seconds=0")
MOST_BYTES, MOST_SECONDS = 1.5e9, 20


@pytest.fixture(scope="module")
def real(tmp_path_factory, slim_weights, program) -> pathlib.Path:
    """A folder with pictures, a run of them, its surface, a sweep and a model."""
    folder = tmp_path_factory.mktemp("real")
    save_pictures(folder)
    shutil.copy(slim_weights, folder / "weights.safetensors")
    with contextlib.chdir(folder):
        weights = "--weights=weights.safetensors"
        for program_of, *flags in (
            ("nstjax", *RUN, weights, "--snapshots=1"),
            ("experiments.loss_surface", "--run=run", "--grid=3x2", "--quiet"),
        ):
            status, _, err = program(program_of, *flags)
            assert status == 0, err
    write_sweep(folder / "run" / "sweep.h5", example())
    write_model(folder / "run" / "model.safetensors", make_model("adain"))
    return folder


@pytest.fixture
def hostile(real, tmp_path, monkeypatch):
    """A copy of it, as the current folder, in which a file has been changed."""
    shutil.copytree(real, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")

    def damage(file: str, change: Change) -> None:
        shutil.copy(real / "run" / file, f"run/{file}")
        change(pathlib.Path("run", file))

    os.mkfifo("run/pipe")
    return damage


def read_request(path: pathlib.Path) -> None:
    recorded_request(config_file.read_config(path.parent)["request"], path.parent)


def read_state(path: pathlib.Path) -> None:
    leaves = safetensors.numpy.load_file(path.with_name("real.safetensors"))
    like = {name: jnp.asarray(leaf) for name, leaf in leaves.items() if name != SCALE}
    read_checkpoint(path, like)


def as_line(change: Change) -> Change:
    def changed(path: pathlib.Path) -> None:
        change(path)
        path.write_bytes(path.read_bytes() + b"\n")

    return changed


def cases(path: pathlib.Path) -> Cases:
    """Everything that can be wrong with a real file, cut short and flipped too."""
    contents = path.read_bytes()
    if path.suffix == ".json":
        document = json.loads(contents)
        used = ("scales", "weights_sha256", "image_sha256")
        document["settings"] = {name: document["settings"][name] for name in used}
        yield from hostile_files.json_changes(document)
    elif path.suffix == ".jsonl":
        row = json.loads(contents.splitlines()[0])
        for name, change in hostile_files.json_changes(row):
            yield name, as_line(change)
        return
    elif path.suffix == ".h5":
        yield from hostile_files.hdf5_changes(path)
    else:
        yield from hostile_files.tensor_changes(path)
    yield from hostile_files.byte_changes(contents)


# How many are looked at, and how many of them must be refused: the others changed what
# is not read, or to what may be.
@pytest.mark.parametrize(
    ("file", "read", "count", "refused"),
    [
        ("config.json", read_request, 140, 110),
        ("metrics.jsonl", lambda path: runlog.read_metrics(path.parent, 99), 60, 45),
        ("run.h5", lambda path: runlog.read_run(path.parent), 40, 20),
        ("surface_plane3.h5", read_surface, 40, 18),
        ("sweep.h5", read_sweep, 40, 25),
        ("checkpoint.safetensors", read_state, 25, 20),
        ("model.safetensors", read_model, 12, 10),
    ],
)
def test_hostile_files_are_refused_in_a_line(hostile, real, file, read, count, refused):
    path = pathlib.Path("run", file)
    shutil.copy(real / "run" / "checkpoint.safetensors", "run/real.safetensors")
    read(path)
    all_cases = [*cases(path)]
    messages = []
    for name, change in all_cases[:: max(1, len(all_cases) // count)]:
        hostile(file, change)
        try:
            read(path)
        except InputError as error:
            messages.append(str(error))
            assert file in messages[-1], name
            assert "\n" not in messages[-1], name
            assert len(messages[-1]) < 600, name
    assert len(messages) >= refused


RESUME = ("nstjax.commands.nstjax", *RUN, "--weights=weights.safetensors", "--resume")
FILM = ("experiments.film", "--run=run", "--output=film.gif")
SURFACE = ("experiments.loss_surface", "--run=run", "--grid=3x2", "--quiet")
PLOT = ("experiments.plot_surface", "run/surface_plane3.h5", "--output=plot")


@pytest.mark.parametrize(
    ("arguments", "file", "name", "says"),
    [
        (RESUME, "config.json", "deep", "config.json is damaged"),
        (RESUME, "config.json", "settings.scales.0 = [-1]", "settings.scales[0]"),
        (RESUME, "metrics.jsonl", "seconds = 'text'", "line 1, is damaged (seconds"),
        (RESUME, "run.h5", "image: one axis more", "run.h5 is damaged (image is"),
        (RESUME, "checkpoint.safetensors", "step: negative", "its hash is wrong"),
        (FILM, "run.h5", "image: scalar", "run.h5 is damaged (image is"),
        (SURFACE, "config.json", "request.styles = 'text'", "(styles: Expected"),
        (SURFACE, "config.json", "request.content = 'a\\x00b'", "zero byte"),
        (PLOT, "surface_plane3.h5", "axes/s: all the same", "axes/s does not increase"),
        (PLOT, "surface_plane3.h5", "axes/t: not finite", "axes/t holds a number"),
    ],
)
def test_commands_refuse_them_and_write_nothing(
    hostile, program, arguments, file, name, says
):
    hostile(file, dict(cases(pathlib.Path("run", file)))[name])
    pathlib.Path("run/pipe").unlink()
    check_bad(program, *arguments, says=says)


MUCH = "claims much, compressed"
LARGE = [
    (FILM[0], "run.h5", "snapshots: link to a pipe", "another place"),
    (FILM[0], "run.h5", "image: claims much", "image is float32"),
    (FILM[0], "run.h5", f"image: {MUCH}", "image is float32"),
    (FILM[0], "run.h5", f"log/step: {MUCH}", "log/step is float32 [30000]"),
    (FILM[0], "config.json", "a pipe", "is no regular file"),
    (FILM[0], "run.h5", "a pipe", "is no regular file"),
    (PLOT[0], "surface_plane3.h5", "values/tv: virtual", "is kept in a way"),
    (PLOT[0], "surface_plane3.h5", f"values/tv: {MUCH}", "values/tv is float32"),
    (SURFACE[0], "sweep.h5", f"images: {MUCH}", "images is float32"),
    (SURFACE[0], "sweep.h5", "log/total: other file's bytes", "is kept in a way"),
]


def mat_that_claims(name: str, sides: tuple[int, int]) -> bytes:
    """A compressed MATLAB 5 file whose only array says that it is so large."""
    body = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, *sides)
    body += struct.pack("<II8s", 1, len(name), name.encode())
    packed = zlib.compress(struct.pack("<II", 14, len(body)) + body)
    header = b" " * 124 + struct.pack("<H2s", 0x100, b"IM")
    return header + struct.pack("<II", 15, len(packed)) + packed


# How each command ended, its processor time, and its process's peak in bytes: not
# ru_maxrss, which a process takes over from the one that started it.
RUN_COMMANDS = """
import json, pathlib, sys, time
tests, commands = sys.argv[1:]
sys.path.insert(0, tests)
import programs
for arguments in json.loads(commands):
    started = time.process_time()
    ended = programs.run_here(*arguments)
    seconds = time.process_time() - started
    said = pathlib.Path("/proc/self/status").read_text()
    peak = 1024 * int(said.partition("VmHWM:")[2].split()[0])
    print(json.dumps([*ended, seconds, peak]), flush=True)
"""


def test_no_file_takes_long_or_much_memory(real, tmp_path):
    commands, words = [], []
    for number, (module, file, name, says) in enumerate(LARGE):
        folder = tmp_path / str(number)
        shutil.copytree(real / "run", folder)
        os.mkfifo(folder / "pipe")
        if name == "a pipe":
            (folder / file).unlink()
            os.mkfifo(folder / file)
        else:
            dict(cases(real / "run" / file))[name](folder / file)
        arguments = {
            FILM[0]: [f"--run={folder}", f"--output={folder}.gif"],
            PLOT[0]: [str(folder / file)],
            SURFACE[0]: [f"--sweep={folder}", "--plane=weights"],
        }
        commands.append([module, *arguments[module]])
        words.append(says)
    film = [f"--run={real}/run", f"--output={tmp_path}/long.gif", "--fade=1000000"]
    commands.append([FILM[0], *film])
    words.append("give a smaller --fade")
    (tmp_path / "large.mat").write_bytes(mat_that_claims("layers", (30_000, 30_000)))
    output = f"--output={tmp_path}/w.safetensors"
    commands.append(
        ["weights_convert.__main__", f"--input={tmp_path}/large.mat", output]
    )
    words.append("would take more than 768 MiB")
    tests = pathlib.Path(__file__).parents[1]
    status, out, err = run_forked(RUN_COMMANDS, tests, json.dumps(commands))
    assert status == 0, err
    for line, says in zip(out.splitlines(), words, strict=True):
        *ended, seconds, peak = json.loads(line)
        check_refused(*ended, says)
        assert peak < MOST_BYTES, (ended, peak)
        assert seconds < MOST_SECONDS, (ended, seconds)


def test_shapes_that_only_links_make_large_are_refused(hostile):
    """One dataset under many names is not read many times."""

    def link(path: pathlib.Path) -> None:
        with h5py.File(path, "r+") as file:
            for step in range(1000):
                file[f"snapshots/{step + 10}"] = file["image"]

    hostile("run.h5", link)
    with pytest.raises(InputError, match="bytes of data in a file of"):
        runlog.read_run(pathlib.Path("run"))


def test_stored_words_are_no_formulas(hostile):
    texts = [r"$\frac{$", "$x$ $", r"\$", "<b>&"]
    surface = read_surface("run/surface_plane3.h5")
    surface = surface._replace(
        labels=(texts[0], f"{texts[1]} (r)"),
        points=surface.points._replace(names=(texts[2], texts[3], "$y$")),
        trajectories={"$z$": surface.trajectories["run"], "empty": NO_MARKS},
    )
    figure = map_figure(surface, View(1, 1, 0, title="$t$"))
    figure.draw_without_rendering()
    shown = "\n".join(each.get_text() for each in figure.findobj(Text))
    for text in (*texts, "$y$", "$z$", "$t$"):
        assert text.replace("$", r"\$") in shown
