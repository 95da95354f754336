"""A folder that was sent around may hold links: no program writes through them."""

import os

import pytest
from command_lines import PICTURES, check_refused, listing
from surfaces import make_surface

from nstjax.analysis.surfaces.file import write_surface
from nstjax.analysis.sweeps.run import SweepJob, run_sweep
from nstjax.analysis.sweeps.settings import grid
from nstjax.errors import InputError
from nstjax.feedforward.training import run as training_run
from nstjax.io.extras import free_path
from nstjax.presets.published import PRESETS

RUN = (*PICTURES, "--quiet", "--workdir=run", "--resume")
MIXED = (*RUN, "--snapshots=1", "--montage", "--fine_style=photo.png")
SLIM = ("--photos=.", "--paintings=.", "--workdir=run", "--weights=slim")
EVALUATE = ("photo.png:painting.png", "--workdir=run", "--teacher=slim")
# Program, its flags, and a name that it chooses itself.
CHOSEN = [
    *(
        ("nstjax.commands.nstjax", RUN, f"run/{name}")
        for name in (
            "config.json", "metrics.jsonl", "run.h5", "checkpoint.safetensors",
            "stylized.png",
        )
    ),
    ("nstjax.commands.nstjax", MIXED, "run/snapshot_000001.png"),
    ("nstjax.commands.nstjax", MIXED, "run/stylized_montage.png"),
    ("nstjax.commands.nstjax", MIXED, "run/style.png"),
    ("nstjax.commands.nstjax", (*MIXED, "--output=out.png"), "out_montage.png"),
    ("nstjax.commands.nstjax", PICTURES, "stylized.png"),
    ("nstjax.commands.nstjax", (*PICTURES, "--style=second.png"), "photo_stylized.png"),
    ("experiments.loss_surface", ("--run=run",), "run/surface_plane3.h5"),
    (
        "experiments.loss_surface",
        ("--sweep=run", "--plane=weights"),
        "run/surface_weights.h5",
    ),
    ("experiments.convexity", ("--run=run",), "run/convexity.json"),
    ("experiments.plot_surface", ("line.h5",), "line_maps.png"),
    ("experiments.plot_surface", ("line.h5", "--output=o"), "o_surfaces.png"),
    ("experiments.gallery", ("--workdir=run", *PICTURES, *PICTURES), "run/mask.png"),
    (
        "experiments.course_report",
        ("--workdir=run", *PICTURES, *PICTURES),
        "run/pair_one/result.png",
    ),
    ("experiments.train_slim", SLIM, "run/slim.safetensors"),
    ("experiments.train_slim", SLIM, "run/batches/000_000.safetensors"),
    ("experiments.evaluate_features", EVALUATE, "run/photo_painting_teacher.png"),
]  # fmt: skip


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(("module", "flags", "name"), CHOSEN)
def test_nothing_is_written_through_a_link(module, flags, name, studio, program):
    if module.endswith("plot_surface"):
        write_surface(studio / "line.h5", make_surface())
    (studio / "thesis.txt").write_text("a thesis")
    for target in ("thesis.txt", "new.txt"):
        (studio / name).parent.mkdir(parents=True, exist_ok=True)
        (studio / name).symlink_to(studio / target)
        before = listing(studio)
        status, _, err = program(module, *flags)
        assert status == 2
        last = err.splitlines()[-1]
        assert f"{name} is a link, and the file that it leads to would be ov" in last
        assert listing(studio) == before
        (studio / name).unlink()


@pytest.mark.usefixtures("pictures")
def test_a_link_that_a_flag_names_is_followed(studio, command):
    (studio / "link.png").symlink_to("result.png")
    flags = ("--output=link.png", "--weights=nowhere.h5")
    # All else is found out later.
    check_refused(*command(*PICTURES, *flags), "nowhere.h5 does not exist")


def begin_sweep(folder):
    settings = grid({"seed": [0, 1]})
    run_sweep(SweepJob(None, PRESETS["gatys2016"], settings, folder, {"settings": {}}))


def begin_training(folder):
    training_run._has_begun(folder, {})


SWEEP = "sweep.h5 settings.csv chunks images chunks/chunk_00000.h5 images/0001.png"
TRAINING = "metrics.jsonl checkpoints samples events model.safetensors samples/0.png"


@pytest.mark.parametrize(
    ("begin", "names"), [(begin_sweep, SWEEP), (begin_training, TRAINING)]
)
def test_a_sweep_and_a_training_refuse_links(begin, names, tmp_path):
    folder = tmp_path / "run"
    for name in ("config.json", *names.split()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InputError, match=f"{name} is a link"):
            begin(folder)
        (folder / name).unlink()
        assert os.listdir(tmp_path) == ["run"]


def test_a_name_is_not_free_where_a_link_leads_nowhere(tmp_path):
    (tmp_path / "out.png").symlink_to("new.png")
    assert free_path(tmp_path / "out.png") == tmp_path / "out_2.png"
