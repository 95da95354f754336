"""Training the slim network, and its evaluation, on a narrow teacher."""

import csv
import functools
import json
import shutil

import numpy as np
import pytest
import skimage.data
from command_lines import check_refused, listing, metrics
from PIL import Image
from slim_networks import unit_network

from experiments.distillation import (
    channel_selection,
    kernel_matching,
    on_policy,
    teacher_features,
)
from nstjax.io import run_log as runlog
from nstjax.io.weights import read_params
from nstjax.network.architecture import CONV_LAYERS
from nstjax.presets.settings import customize

TRAIN = "experiments.train_slim"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with photos and one with paintings."""
    folder = tmp_path_factory.mktemp("pictures")
    for path, array in {
        "photos/0.png": skimage.data.chelsea(),
        "photos/1.png": skimage.data.coffee(),
        "paintings/0.png": skimage.data.immunohistochemistry(),
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        image = Image.fromarray(array)
        image.thumbnail((80, 80))
        image.save(folder / path)
    # What is held out is not read.
    (folder / "paintings" / "secret.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def training(pictures, slim_weights):
    """The flags of a training of two steps."""
    return (
        *(f"--photos={pictures / 'photos'}", f"--paintings={pictures / 'paintings'}"),
        *("--held_out=secret", f"--weights={slim_weights}"),
        *("--widths=4,4,8,8,8", "--conv5_1_width=12"),
        # The last batch of the second round is on-policy.
        *("--rounds=2", "--batches_per_round=3", "--steps_per_round=1"),
        *("--batch_size=2", "--picture_size=32", "--visit_steps=6"),
        # Whose steps are all on batches of one pooling.
        "--seed=2",
    )


def some_network(widths, batches, pools):
    assert list(pools) == ["avg", "max", "avg"]
    assert len(batches) == 3
    return unit_network(widths)


def few_features(*arguments):
    """Those of the first layers, which compile sooner."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(teacher_features, "CONV_LAYERS", CONV_LAYERS[:3])
        return teacher_features.sampled_features(*arguments)


@pytest.mark.slow
def test_training_makes_a_network_and_a_killed_one_the_same(
    training, tmp_path, program, monkeypatch
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    append = runlog.append_metrics

    def append_and_copy(folder, rows):
        append(folder, rows)
        # What a kill would leave: the log has a row more than the last checkpoint.
        if rows[-1]["step"] == 2 and not killed.exists():
            shutil.copytree(whole, killed)

    monkeypatch.setattr(runlog, "append_metrics", append_and_copy)
    # Samples and updates with every layer, and imitation, are tested by themselves.
    layers = {"content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1")}
    monkeypatch.setattr(on_policy, "PRESET", customize(on_policy.PRESET, **layers))
    monkeypatch.setattr(channel_selection, "imitate", some_network)
    monkeypatch.setattr(kernel_matching, "sampled_features", few_features)
    # The second training takes the compiled update of the first.
    monkeypatch.setattr(
        kernel_matching, "training", functools.cache(kernel_matching.training)
    )
    status, out, err = program(TRAIN, *training, f"--workdir={whole}")
    assert status == 0, err
    network = read_params(whole / "slim.safetensors")
    assert network.sha256 in out
    widths = {layer: part["bias"].size for layer, part in network.params.items()}
    assert [widths[f"conv{name}"] for name in ("1_2", "5_1", "5_2")] == [4, 12, 8]
    rows = metrics(whole)
    assert [row["step"] for row in rows] == [1, 2]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert rows[0]["centered"].keys() == rows[0]["kernel"].keys()
    config = json.loads((whole / "config.json").read_text())
    assert config["settings"]["pictures"] == [2, 1]

    assert [row["step"] for row in metrics(killed)] == [1, 2]
    assert not (killed / "slim.safetensors").exists()
    status, out, err = program(TRAIN, *training, f"--workdir={killed}")
    assert status == 0, err
    assert [row["step"] for row in metrics(killed)] == [1, 2]
    assert read_params(killed / "slim.safetensors").sha256 == network.sha256

    status, _, err = program(TRAIN, *training, f"--workdir={killed}", "--seed=1")
    assert status == 2
    assert "seed was 2, is 1" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--photos=nowhere", "--photos=nowhere: give a folder of pictures"),
        ("--paintings={folder}", "holds no pictures: fill it with files of"),
        ("--widths=4,4,8", "give five numbers"),
        pytest.param(f"--widths=4,4,8,8,{'9' * 5000}", "give five numbers", id="long"),
        ("--widths=65,4,8,8,8", "at most 64,128,256,512,512"),
        ("--batch_size=3", "give an even number"),
        ("--rounds=0", "rounds"),
        ("--conv5_1_width=17", "has 16 channels in conv5_1, fewer than the 17"),
        ("--weights=nowhere.safetensors", "nowhere.safetensors does not exist"),
    ],
)
def test_bad_training_flags_are_one_line(flag, says, training, tmp_path, program):
    workdir = tmp_path / "work"
    (tmp_path / "._hidden.png").touch()
    flag = flag.format(folder=tmp_path)
    status, _, err = program(TRAIN, *training, f"--workdir={workdir}", flag)
    last = err.splitlines()[-1]
    assert status == 2
    assert last.startswith("train_slim: error: ") and says in last
    assert "Traceback" not in err
    assert not workdir.exists()


def test_evaluation_scores_every_network_with_the_teacher(
    pictures, slim_weights, tmp_path, program
):
    photos, painting = pictures / "photos", pictures / "paintings" / "0.png"
    status, out, err = program(
        "experiments.evaluate_features",
        *(f"{photos / name}:{painting}" for name in ("0.png", "1.png")),
        *(f"--teacher={slim_weights}", f"--weights={slim_weights}"),
        *(f"--workdir={tmp_path}", "--size=32", "--steps=2"),
    )
    assert status == 0, err
    lines = (tmp_path / "features.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["pair"] for row in rows] == ["0_0"] * 3 + ["1_0"] * 3
    for teacher, same, other in (rows[:3], rows[3:]):
        # The teacher against itself: what a network that matches it would get.
        assert teacher["features"] == "VGG-19"
        assert teacher["style"] == same["style"]
        assert float(teacher["content"]) == float(same["own_relu3_1"]) == 1
        assert float(teacher["style"]) < 1
        assert other["features"] == "random"
        assert other["style"] != teacher["style"]
    assert "100.0% of the first one's fall" in out
    with Image.open(tmp_path / "features.jpg") as sheet:
        assert sheet.width > 1000


def test_evaluation_keeps_pairs_apart_and_what_is_there(pictures, tmp_path, program):
    painting = pictures / "paintings" / "0.png"
    copies = [tmp_path / name / "0.png" for name in "ab"]
    for copy in copies:
        copy.parent.mkdir()
        shutil.copy(pictures / "photos" / "0.png", copy)
    # The second pair has a name of its own.
    (tmp_path / "0_0_png_2_random.png").write_text("a thesis")
    before = listing(tmp_path)
    refused = program(
        "experiments.evaluate_features",
        *(f"{copy}:{painting}" for copy in copies),
        *("--teacher=slim", f"--workdir={tmp_path}"),
    )
    check_refused(*refused, "0_0_png_2_random.png is there already, and no run in")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give --workdir=DIR and either pairs"),
        (("a.png", "--workdir=w"), "a.png: give PHOTO:PAINTING"),
        (("a.png:b.png",), "give --workdir"),
        (("nowhere.png:b.png", "--workdir=w"), "nowhere.png"),
        (("--free_pictures", "a.png:b.png", "--workdir=w"), "either pairs"),
        (("--free_pictures", "--workdir=w", "--preset=dali"), "unknown preset"),
    ],
)
def test_bad_evaluation_is_one_line(arguments, says, studio, program):
    check_refused(*program("experiments.evaluate_features", *arguments), says)
    assert not (studio / "w").exists()
