"""The launchers of surfaces and convexity, on tiny runs."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
import skimage.data
from command_lines import check_refused, listing
from PIL import Image
from programs import children_here

from nstjax.analysis.surfaces.file import read_surface
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize

REPORT, CONVEXITY = "experiments.course_report", "experiments.convexity"
PLOT = "experiments.plot_surface"


@pytest.fixture(scope="module", autouse=True)
def quick():
    """The report's preset with two blocks of layers, and its own paintings coarse.

    Each takes seconds as it is.
    """
    random = np.random.default_rng(0)
    layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    with pytest.MonkeyPatch.context() as patched:
        preset = customize(PRESETS["gatys2016"], **layers)
        patched.setitem(PRESETS, "gatys2016", preset)
        for name in ("painting", "stained_glass"):
            picture = random.random((24, 32, 3), dtype=np.float32)
            patched.setattr(f"nstjax.io.demo.{name}", lambda picture=picture: picture)
        yield


@pytest.fixture(scope="module")
def report(tmp_path_factory, slim_weights, program):
    """The folder of a course report that is over at once, and what was printed."""
    folder = tmp_path_factory.mktemp("report")
    flags = (
        *(f"--workdir={folder}", f"--weights={slim_weights}", "--size=24"),
        *("--steps_scale=0.001", "--grid=3x2", "--planes=plane3"),
        *("--segments=6", "--curvature_at="),
    )
    # Plots have tests of their own: here one is asked for.
    with children_here(PLOT):
        status, out, err = program(REPORT, *flags)
    assert status == 0, err
    return folder, flags, out


def test_course_report(report, program):
    folder, flags, out = report
    studies = []
    for pair, steps in (("pair_one", 6), ("pair_two", 8)):
        config = json.loads((folder / pair / "run" / "config.json").read_text())
        assert config["settings"]["steps"] == steps
        sheet = np.asarray(Image.open(folder / pair / "snapshots.png"))
        assert sheet.std() > 20
        surface = read_surface(folder / pair / "plane3.h5")
        assert surface.done.tolist() == [[True] * 2] * 3
        assert f"python -m {PLOT} {folder / pair / 'plane3.h5'}\n" in out
        studies.append(json.loads((folder / pair / "convexity.json").read_text()))
        assert studies[-1]["planes"].keys() == {"plane3"}
    first, second = (study["asked"]["run"]["image_sha256"] for study in studies)
    assert first != second
    table = (folder / "convexity.md").read_text()
    assert table in out
    assert table.count("| pair_two | plane3 |") == 2
    verdicts = re.findall(r"refuted on|refuted", table)
    assert len(verdicts) == 2 * 2 * 3

    # What is finished is not done again.
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.h5")}
    with children_here(PLOT):
        status, out, err = program(REPORT, *flags)
    assert status == 0, err
    assert table in out
    assert "plane3.h5 is finished" in err
    assert out.count("convexity.json is finished") == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}

    # What another version found is.
    file = folder / "pair_one" / "convexity.json"
    found = json.loads(file.read_text())
    asked = {**found["asked"], "curvature_at": ["result"]}
    older = {**found, "asked": {**asked, "schema": "nstjax.convexity/1"}}
    file.write_text(json.dumps(older))
    command = next(line for line in out.splitlines() if "experiments.convexity" in line)
    status, out, err = program(
        CONVEXITY, *shlex.split(command)[3:], "--curvature_at=result"
    )
    assert status == 0, err
    assert f"wrote {file}" in out
    found = json.loads(file.read_text())
    assert found["asked"] == asked
    assert out.count("| result |") == 3
    for places in found["curvature"].values():
        assert places["result"]["smallest"] < places["result"]["largest"]


def test_a_film_of_the_report(report, tmp_path, program):
    folder, _, _ = report
    film = tmp_path / "film.gif"
    status, _, err = program(
        "experiments.film", f"--run={folder / 'pair_one' / 'run'}", f"--output={film}"
    )
    assert status == 0, err
    with Image.open(film) as frames:
        assert frames.n_frames > 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("convexity",), "give --run=DIR"),
        (("convexity", "--run=nowhere"), "holds no run"),
        (("course_report",), "give --workdir=DIR"),
        (("course_report", "--workdir=x", "one.png"), "two pairs of pictures or none"),
        (("course_report", "--workdir=x", "--steps_scale=0"), "above 0, at most 10"),
        (("course_report", "--workdir=x", "--steps_scale=nan"), "--steps_scale=nan"),
        (("course_report", f"--workdir={__file__}/x"), ".py, a file: give a folder"),
        *(
            (("course_report", "--workdir=x", *flags), says)
            for flags, says in {
                ("--planes=plan3",): "no plane 'plan3': give --planes with some of",
                ("--grid=3x",): "grid '3x' is not understood",
                ("--planes=line", "--grid=3x3"): "'3x3' is not understood: give 201",
                ("--segments=0",): "segments",
                ("--curvature_at=here",): "no image 'here': known are content, style",
                ("--size=big",): "size",
                ("--alpha=-1",): "alpha",
            }.items()
        ),
    ],
)
def test_bad_input_is_one_line(arguments, says, studio, program):
    module, *arguments = arguments
    check_refused(*program(f"experiments.{module}", *arguments), says)
    assert not (studio / "x").exists()


def test_a_report_overwrites_no_file_of_a_person(studio, program):
    kept = studio / "x" / "pair_one" / "snapshots.png"
    kept.parent.mkdir(parents=True)
    kept.write_text("a thesis")
    before = listing(studio)
    says = "x/pair_one is there already, and no run in"
    check_refused(*program(REPORT, "--workdir=x"), says)
    assert listing(studio) == before


@pytest.mark.parametrize(
    ("command", "flags", "says"),
    [
        ("convexity", "--surfaces={}/pair_two/plane3.h5", "run (its result differs): "),
        ("convexity", "--output=missing/found.gif", "create the folder missing first"),
        ("film", "--output=missing/found.gif", "create the folder missing first"),
        ("convexity", "--weights=a.safetensors --output=a.safetensors", "of the i"),
        ("convexity", "--output=notes.json", "holds no results of convexity tests"),
    ],
)
def test_what_would_be_lost_or_wrong_is_refused(
    command, flags, says, report, slim_weights, tmp_path, program, monkeypatch
):
    folder, *_ = report
    monkeypatch.chdir(tmp_path)
    shutil.copy(slim_weights, "a.safetensors")
    (tmp_path / "notes.json").write_text('{"asked": {}, "thesis": "a year of work"}')
    before = listing(tmp_path)
    flags = (f"--run={folder}/pair_one/run", *flags.format(folder).split())
    check_refused(*program(f"experiments.{command}", *flags), says)
    assert listing(tmp_path) == before


def test_own_pictures_and_folders_with_spaces(tmp_path, slim_weights, program):
    paths = []
    coffee = Image.fromarray(skimage.data.coffee())
    for index in range(4):
        paths.append(tmp_path / f"{index} of 4.png")
        # Of the shapes of the report above, whose programs then serve here.
        size = (32, 24) if index % 2 else (36, 24)
        coffee.rotate(90 * index).resize(size).save(paths[-1])
    with children_here():
        status, _, err = program(
            *(REPORT, *paths, f"--workdir={tmp_path / 'with space'}"),
            *(f"--weights={slim_weights}", "--size=32", "--steps_scale=0.0001"),
            *("--grid=3x3", "--planes=pca", "--segments=3", "--curvature_at="),
        )
    # The run has passed; what is wrong is found by the next command.
    assert status == 2
    assert "do not span a plane" in err
