"""The launcher of feed-forward trainings, as a shell runs it, on narrow networks."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import reference
from commands import listing, metrics, settings, truncate
from feedforward_networks import random_network
from PIL import Image

import nstjax
from nstjax.feedforward.architecture import AdaINArchitecture, TransformArchitecture
from nstjax.feedforward.data import CropRule, cut
from nstjax.io.images import read_image
from nstjax.io.model_file import (
    Encoder,
    StyleModel,
    network_tensors,
    read_model,
    write_model,
)
from nstjax.io.weights import read_params
from nstjax.vgg import CONV_LAYERS

ROOT = pathlib.Path(__file__).resolve().parents[1]
NARROW = '--architecture={"channels": [4, 4, 4], "residual_blocks": 1}'
SHALLOW = (
    '--loss={"content_layers": ["relu1_2"], "style_layers": ["relu1_1", "relu2_1"]}'
)
PLAIN = (
    # So that what should be refused, and is not, comes to an end.
    "--steps=2",
    "--photos=../photos",
    "--weights=../slim.safetensors",
    "--workdir=work",
    "--size=16",
    "--batch_size=2",
    "--held_out=2",
)
BASE = (*PLAIN, NARROW)
ONE = (*BASE, SHALLOW, "--styles=wave=../paintings/a.png")
WHOLE = (*ONE, "--log_every=3", "--checkpoint_every=2", "--sample_every=10")
ADVERSARIAL = (
    *BASE,
    SHALLOW,
    "--preset=cin-dumoulin",
    "--styles=../paintings",
    "--balance_styles",
    "--adversarial_weight=5",
    "--adversarial_layer=relu2_1",
    "--log_every=1",
)
ADAIN = (
    *BASE,
    "--preset=adain",
    '--architecture={"channels": [4, 4, 4]}',
    "--styles=../paintings",
    "--recolor=0.5",
    "--identity=0.25",
    "--decay=0.1",
)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, slim_weights):
    """Photos, paintings, weights, models, and what is none of these."""
    folder = tmp_path_factory.mktemp("gallery")
    random = np.random.default_rng(0)

    def paint(name, size, count):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        coarse = random.integers(0, 256, (count, count, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(path)

    for index in range(7):
        paint(f"photos/{index}.png", (24 + index, 24), 5)
    # Neither of those that are held out, 0 and 3.
    (folder / "photos" / "5.png").write_bytes(b"no picture")
    paint("paintings/a.png", (32, 28), 7)
    paint("paintings/b.png", (24, 40), 6)
    paint("named/a,b.png", (24, 24), 6)
    paint("twice/a.png", (24, 24), 6)
    (folder / "twice" / "deeper").mkdir()
    paint("twice/deeper/a.jpg", (24, 24), 6)
    for name in ("empty", "texts", "broken"):
        (folder / name).mkdir()
    for index in range(7):
        (folder / "texts" / f"{index}.txt").write_text("no picture")
        (folder / "broken" / f"{index}.png").write_text("no picture")
    shutil.copy(slim_weights, folder / "slim.safetensors")
    params = reference.random_params(1, (8, 8, 16, 16, 16))
    nstjax.save_params(folder / "other.safetensors", params)
    for kind in ("conditional", "instance"):
        names = ("one", "two") if kind == "conditional" else ("one",)
        architecture = TransformArchitecture(
            channels=(4, 4, 4),
            residual_blocks=1,
            normalization=kind,
            styles=len(names),
            pixels="0..1",
            output="sigmoid",
        )
        model = StyleModel(random_network(architecture), names, None, {"by": "me"})
        write_model(folder / f"{kind}.safetensors", model)
    decoder = random_network(AdaINArchitecture(encoder_channels=16, channels=(4, 4, 4)))
    encoder = Encoder(
        read_params(slim_weights).sha256, "max", dict.fromkeys(CONV_LAYERS, 1.0)
    )
    write_model(folder / "adain.safetensors", StyleModel(decoder, (), encoder, {}))
    shutil.copy(folder / "instance.safetensors", folder / "short.safetensors")
    truncate(folder / "short.safetensors")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The same program is compiled once, whichever process runs it, and quickly."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


def start(folder, environment, *arguments):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.train_feedforward", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def launch(folder, environment, *arguments):
    """Train, and return what it wrote and said."""
    process = start(folder, environment, *arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out == "work/model.safetensors\n"
    return folder / "work", err


def tensors(folder):
    return network_tensors(read_model(folder / "model.safetensors").network)


def assert_same_tensors(folder, other):
    found, expected = tensors(folder), tensors(other)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def without_seconds(rows):
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def whole(gallery, environment):
    """A training of 40 steps that nobody interrupted."""
    return launch(gallery / "whole", environment, *WHOLE, "--steps=40")


# --- trainings ----------------------------------------------------------------------


def test_training_leaves_a_model_and_its_log(whole, gallery):
    work, err = whole
    assert err.count("note: skipped: ") == 1
    assert "photos/5.png is not a picture" in err
    model = read_model(work / "model.safetensors")
    assert model.styles == ("wave",)
    assert model.encoder is None
    assert model.network.architecture.padding == "zero"
    assert model.network.architecture.channels == (4, 4, 4)
    assert model.card["settings"] == {**settings(work), "steps": 40}
    assert model.card["command"].startswith(
        "python -m experiments.train_feedforward --photos=../photos "
    )
    assert settings(work)["held_out"] == ["0.png", "3.png"]
    assert settings(work)["photos"] == 5
    rows = metrics(work)
    logged = [*range(3, 40, 3), 40]
    assert [row["step"] for row in rows] == sorted({*logged, 10, 20, 30})
    total = {row["step"]: row["total"] for row in rows if "total" in row}
    assert list(total) == logged
    assert total[40] < total[21] < total[3]
    validation = {
        row["step"]: row["validation"]["wave"] for row in rows if "validation" in row
    }
    assert list(validation) == [10, 20, 30, 40]
    assert validation[40]["total"] < validation[10]["total"]
    assert rows[-1]["skipped"] == 1
    assert rows[-1]["seconds"] >= rows[0]["seconds"] > 0
    samples = sorted(path.name for path in (work / "samples").iterdir())
    assert samples == ["000010.png", "000020.png", "000030.png", "000040.png"]
    # Two photos that are held out, and what becomes of them: the last two columns.
    with Image.open(work / "samples" / "000040.png") as sheet:
        assert sheet.height > sheet.width >= 2 * 16
    kept = sorted(path.name for path in (work / "checkpoints").iterdir())
    assert kept == ["38", "40"]


def test_the_validation_loss_is_that_of_the_model(whole, gallery):
    work, _ = whole
    model = read_model(work / "model.safetensors")
    photos = np.stack(
        [
            cut(
                read_image(gallery / "photos" / f"{index}.png"),
                CropRule("center", 16),
                np.random.default_rng(0),
            )
            for index in (0, 3)
        ]
    )
    output = 255 * np.float64(model.network(photos))
    steps = [np.square(np.diff(output, axis=axis)).mean() for axis in (1, 2)]
    found = metrics(work)[-1]["validation"]["wave"]["tv"]
    np.testing.assert_allclose(found, sum(steps), rtol=1e-4)


def test_a_killed_training_goes_on_bit_for_bit(whole, gallery, environment):
    work, _ = whole
    folder = gallery / "killed"
    process = start(folder, environment, *WHOLE, "--steps=40")
    while process.poll() is None and not (folder / "work/checkpoints/4").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "work" / "model.safetensors").exists()
    assert metrics(folder / "work")[-1]["step"] < 40
    killed, _ = launch(folder, environment, *WHOLE, "--steps=40")
    before, after = listing(work), listing(killed)
    for name in ("model.safetensors", "config.json", "samples/000040.png"):
        assert after[name] == before[name], name
    for name in ("samples/000010.png", "samples/000020.png", "samples/000030.png"):
        assert after[name] == before[name], name
    assert without_seconds(metrics(killed)) == without_seconds(metrics(work))
    assert [row["seconds"] for row in metrics(killed)] == sorted(
        row["seconds"] for row in metrics(killed)
    )
    # There is nothing left to do.
    rows = (killed / "metrics.jsonl").read_bytes()
    launch(folder, environment, *WHOLE, "--steps=40")
    assert listing(killed)["model.safetensors"] == before["model.safetensors"]
    assert (killed / "metrics.jsonl").read_bytes() == rows


def scalars(folder):
    """{tag: {step: value}} of TensorBoard's event files."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.iterdir():
        contents, at = path.read_bytes(), 0
        while at < len(contents):
            (length,) = struct.unpack_from("<Q", contents, at)
            event = Event.FromString(contents[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_a_style_is_added_and_the_rest_kept(gallery, environment):
    work, _ = launch(
        gallery / "added",
        environment,
        *PLAIN,
        SHALLOW,
        "--initial=../conditional.safetensors",
        "--add_style",
        "--styles=Ärger=../paintings/a.png",
        "--style_size=long:20",
        "--steps=4",
        "--log_every=2",
        "--tensorboard",
    )
    before = read_model(gallery / "conditional.safetensors")
    after = read_model(work / "model.safetensors")
    assert after.styles == ("one", "two", "Ärger")
    assert after.network.architecture.styles == 3
    assert after.card["settings"]["add_style"] is True
    found = network_tensors(after.network)
    for name, tensor in network_tensors(before.network).items():
        if name.endswith(("gamma", "beta")):
            np.testing.assert_array_equal(found[name][:2], tensor)
            # It begins as their mean.
            moved = np.abs(found[name][2] - tensor.mean(0))
            assert 0 < moved.max() < 0.1
        else:
            np.testing.assert_array_equal(found[name], tensor)
    events, rows = scalars(work / "events"), metrics(work)
    for tag in ("total", "content", "style", "tv", "gradient_norm", "seconds"):
        logged = {row["step"]: row[tag] for row in rows}
        assert events[tag] == pytest.approx(logged, rel=1e-6)
    last = rows[-1]["validation"]["Ärger"]
    for tag, value in last.items():
        assert events[f"validation/Ärger/{tag}"] == pytest.approx({4: value}, rel=1e-6)


def test_adversarial_training_of_two_styles_and_more_steps(gallery, environment):
    work, _ = launch(gallery / "rivals", environment, *ADVERSARIAL, "--steps=6")
    model = read_model(work / "model.safetensors")
    assert model.styles == ("a", "b")
    gamma = network_tensors(model.network)["contract/0/norm/gamma"]
    assert (gamma[0] != gamma[1]).any()
    rows = metrics(work)
    assert len(rows) == 6
    assert rows[0]["discriminator"] > rows[-1]["discriminator"] > 0
    assert all(np.isfinite(row["generator"]) for row in rows)
    assert rows[-1]["validation"].keys() == {"a", "b"}
    # A longer training has the same beginning.
    folder = gallery / "rivals_later"
    launch(folder, environment, *ADVERSARIAL, "--steps=4")
    shorter = read_model(folder / "work" / "model.safetensors")
    assert shorter.card["settings"]["steps"] == 4
    launch(folder, environment, *ADVERSARIAL, "--steps=6")
    assert_same_tensors(folder / "work", work)
    later, uninterrupted = (metrics(one)[4:] for one in (folder / "work", work))
    assert without_seconds(later) == without_seconds(uninterrupted)


def test_arbitrary_style_is_trained_with_its_encoder(gallery, environment):
    work, _ = launch(gallery / "any", environment, *ADAIN, "--steps=4")
    model = read_model(work / "model.safetensors")
    assert model.styles == ()
    assert model.network.architecture.encoder_channels == 16
    network = read_params(gallery / "slim.safetensors")
    assert model.encoder.sha256 == network.sha256
    assert model.encoder.pool == "max"
    photos = [
        cut(
            read_image(gallery / "photos" / f"{index}.png"),
            CropRule("center", 16),
            np.random.default_rng(0),
        )
        for index in (0, 3)
    ]
    params = {
        layer: {name: np.float64(value) for name, value in part.items()}
        for layer, part in network.params.items()
    }
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]
    activations = [
        reference.trunk(
            params, 255 * np.float64(photo) - reference.MEAN_RGB, relus, "max", "same"
        )
        for photo in photos
    ]
    for layer, relu in zip(CONV_LAYERS, relus, strict=True):
        mean = np.mean([one[relu].mean() for one in activations])
        np.testing.assert_allclose(model.encoder.scales[layer], 1 / mean, rtol=1e-3)
    rows = metrics(work)
    assert rows[-1]["validation"].keys() == {"a", "b"}
    assert np.isfinite(rows[-1]["total"])
    with Image.open(work / "samples" / "000004.png") as sheet:
        assert sheet.width > 3 * 16


# --- bad input ----------------------------------------------------------------------


def with_styles(*flags):
    return (*BASE, SHALLOW, *flags)


def with_loss(text):
    return (*ONE, f"--loss={text}")


def with_architecture(text):
    return (*ONE, f"--architecture={text}")


BAD = {
    "no photos": ((*ONE, "--photos="), "give --photos: see --help"),
    "no styles": (BASE, "give --styles"),
    "no workdir": ((*ONE, "--workdir="), "give --workdir"),
    "an argument": ((*ONE, "photo.png"), "unexpected argument photo.png"),
    "missing folder": ((*ONE, "--photos=../none"), "../none does not exist"),
    "a photo": ((*ONE, "--photos=../photos/1.png"), "is not a folder"),
    "empty folder": ((*ONE, "--photos=../empty"), "../empty holds no pictures"),
    "texts": ((*ONE, "--photos=../texts"), "../texts holds no pictures"),
    "broken photos": ((*ONE, "--photos=../broken"), "0.png is not a picture"),
    "few photos": ((*ONE, "--batch_size=6"), "5 readable pictures is smaller than"),
    "all held out": ((*ONE, "--held_out=7"), "--held_out=7 of 7 photos leaves none"),
    "more held out": ((*ONE, "--held_out=8"), "--held_out=8 of 7 photos leaves none"),
    "no painting": (with_styles("--styles=none.png"), "none.png does not exist"),
    "a text as painting": (
        with_styles("--styles=../texts/1.txt"),
        "1.txt is not a picture",
    ),
    "no name of a painting": (with_styles("--styles=wave="), "give one picture file"),
    "preset": ((*ONE, "--preset=dali"), "preset"),
    "architecture no JSON": (with_architecture("{width: 1}"), "--architecture is no"),
    "architecture a list": (with_architecture("[1]"), "give an object, as in --help"),
    "architecture's field": (with_architecture('{"depth": 1}'), "depth"),
    "architecture's type": (with_architecture('{"width": "1"}'), "width must be a num"),
    "architecture's kind": (with_architecture('{"kind": "adain"}'), "no architecture"),
    "architecture's channels": (with_architecture('{"channels": [4, 4]}'), "channels"),
    "architecture's epsilon": (with_architecture('{"epsilon": NaN}'), "epsilon must"),
    "loss no JSON": (with_loss("beta"), "--loss is no JSON"),
    "loss a number": (with_loss("3"), "--loss=3: give an object"),
    "loss's field": (with_loss('{"gamma": 1}'), "the loss has no 'gamma'"),
    "not the loss's": (with_loss('{"steps": 1}'), "the loss has no 'steps'"),
    "loss's type": (with_loss('{"alpha": "1"}'), "a value of a wrong type"),
    "loss's switch": (with_loss('{"normalize_gradients": 1}'), "true or false, got 1"),
    "loss's NaN": (with_loss('{"beta": NaN}'), "beta must be a finite number"),
    "loss's infinity": (with_loss('{"tv": Infinity}'), "tv must be a finite number"),
    "negative": (with_loss('{"tv": -1}'), "tv must be a finite number of 0 or more"),
    "loss's layer": (with_loss('{"style_layers": ["relu9_1"]}'), "unknown layer"),
    "loss's weights": (with_loss('{"style_layer_weights": [1]}'), "1 values for 5"),
    "several styles": (
        with_styles("--styles=../paintings"),
        "2 styles need a network with conditional instance normalization: give --pre",
    ),
    "style twice": (
        with_styles("--styles=x=../paintings/a.png,x=../paintings/b.png"),
        "--styles names 'x' twice",
    ),
    "style twice in a folder": (with_styles("--styles=../twice"), "names 'a' twice"),
    "style's name": (
        with_styles("--styles=a:b=../paintings/a.png"),
        "'a:b' cannot name a style",
    ),
    "style's file": (with_styles("--styles=../named"), "'a,b' cannot name a style"),
    "sampled": (
        (*ADVERSARIAL, '--loss={"style_loss": "sliced"}'),
        "style_loss=sliced needs paintings of one size",
    ),
    "style_size": ((*ONE, "--style_size=big"), "size 'big' is not understood"),
    "tiny style_size": (
        (*ONE, "--style_size=1", "--preset=pytorch-fns"),
        "image of 1x1 pixels is too small for relu2_1",
    ),
    "no initial": ((*ONE, "--add_style"), "give one painting and the model (--initial"),
    "two added": (
        (*ADVERSARIAL, "--add_style", "--initial=../conditional.safetensors"),
        "give one painting and the model",
    ),
    "added to one": (
        (*ONE, "--add_style", "--initial=../instance.safetensors"),
        "only a network with conditional instance normalization takes another",
    ),
    "added to arbitrary": (
        (*PLAIN, "--styles=a.png", "--add_style", "--initial=../adain.safetensors"),
        "takes any painting as it is",
    ),
    "added twice": (
        (
            *with_styles("--styles=two=../paintings/a.png"),
            "--add_style",
            "--initial=../conditional.safetensors",
        ),
        "'two' cannot name a style: choose unique names",
    ),
    "another initial": (
        (*ONE, "--initial=../instance.safetensors"),
        "the initial model has another architecture",
    ),
    "initial missing": ((*ONE, "--initial=none.safetensors"), "does not exist"),
    "initial cut short": ((*ONE, "--initial=../short.safetensors"), "perhaps cut shor"),
    "another encoder": (
        (*ADAIN, "--initial=../adain.safetensors", "--weights=../other.safetensors"),
        "the initial model decodes another network",
    ),
    "another encoder's pooling": (
        (*ADAIN, "--initial=../adain.safetensors", '--loss={"pool": "avg"}'),
        "with avg pooling: give the --weights",
    ),
    "weights": ((*ONE, "--weights=none.safetensors"), "none.safetensors does not"),
    "another training": (
        (*WHOLE, "--workdir=../whole/work", "--steps=40", "--seed=1"),
        "had other settings (seed was 0, is 1)",
    ),
    "another painting": (
        (*WHOLE, "--workdir=../whole/work", "--styles=wave=../paintings/b.png"),
        "had other settings (paintings was",
    ),
    "fewer steps": (
        (*WHOLE, "--workdir=../whole/work", "--steps=39"),
        "has had 40 updates: give as many steps",
    ),
    "workdir a file": ((*ONE, "--workdir=../photos/1.png"), "is a file: give a folder"),
    "no config": ((*ONE, "--workdir=../lost"), "holds a training without its config."),
    "config": ((*ONE, "--workdir=../damaged"), "config.json is damaged"),
    "size": ((*ONE, "--size=15"), "size"),
    "size of network": (
        (*ONE, "--preset=johnson-in", f"{NARROW[:-2]}2}}"),
        "a picture of 16x16 pixels is too small for this network",
    ),
    "size of loss": (
        (*with_loss('{"content_layers": ["pool5"]}'), "--preset=pytorch-fns"),
        "image of 16x16 pixels is too small for pool5",
    ),
    "crop": ((*ONE, "--crop=round"), "crop"),
    "steps": ((*ONE, "--steps=0"), "steps"),
    "batch": ((*ONE, "--batch_size=0"), "batch_size"),
    "seed": ((*ONE, "--seed=4294967296"), "seed"),
    "workers": ((*ONE, "--workers=-1"), "workers"),
    "learning rate 0": ((*ONE, "--learning_rate=0"), "learning_rate is 0"),
    "learning rate -1": ((*ONE, "--learning_rate=-1"), "learning_rate"),
    "learning rate text": ((*ONE, "--learning_rate=x"), "learning_rate"),
    **{
        f"{name} {number}": ((*ONE, f"--{name}={number}"), f"{name} must be")
        for name in ("learning_rate", "decay", "adversarial_weight")
        for number in ("nan", "inf", "1e39")
    },
    "largest nan": ((*ONE, "--largest=nan"), "largest must be at least 1"),
    "largest inf": ((*ONE, "--largest=inf"), "largest must be a finite number"),
    "adversarial layer": (
        (*ONE, "--adversarial_weight=1", "--adversarial_layer=relu9_1"),
        "unknown layer 'relu9_1'",
    ),
    "recolor": ((*ADAIN, "--recolor=1.5"), "recolor"),
    "recolor nan": ((*ADAIN, "--recolor=nan"), "must lie in 0..1, got nan"),
    "recolor of one": ((*ONE, "--recolor=0.5"), "are for arbitrary style"),
    "balance of arbitrary": ((*ADAIN, "--balance_styles"), "several styles"),
    "content of arbitrary": (
        (*ADAIN, '--loss={"content_layers": ["relu3_1"]}'),
        "must be relu4_1, which is decoded, got relu3_1",
    ),
    "no tensorboardX": ((*ONE, "--tensorboard"), "pip install 'nstjax[train]'"),
}
CASES = """
import contextlib, io, json, logging, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
# It defines flags, which flagsaver would take away again.
import grain
from absl.testing import flagsaver
from commands import listing
from experiments import train_feedforward as launcher
from nstjax.entry import run_command

# As where it is not installed.
sys.modules["tensorboardX"] = None
results = {{}}
for name, arguments in json.loads(Path({cases!r}).read_text()).items():
    before = listing(Path(".."))
    sys.argv = ["train_feedforward", *arguments]
    out, err = io.StringIO(), io.StringIO()
    status = "none"
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with flagsaver.flagsaver():
                run_command("train", launcher.__name__, launcher.USAGE, launcher.main)
        except SystemExit as ended:
            status = ended.code
        except Exception as error:
            err.write(f"Traceback: {{error!r}}")
    changed = listing(Path("..")) != before
    results[name] = status, out.getvalue(), err.getvalue(), changed
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def refused(gallery, environment, whole, tmp_path_factory):
    """What the launcher says to all bad inputs, from one process that tries each."""
    (gallery / "lost" / "checkpoints").mkdir(parents=True)
    (gallery / "damaged").mkdir()
    (gallery / "damaged" / "config.json").write_text('{"settings": ')
    folder = gallery / "bad"
    folder.mkdir()
    cases = tmp_path_factory.mktemp("cases") / "cases.json"
    commands = {name: arguments for name, (arguments, _) in BAD.items()}
    cases.write_text(json.dumps({**commands, "help": ["--help"]}))
    code = CASES.format(tests=str(ROOT / "tests"), cases=str(cases))
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_written(name, refused):
    status, out, err, changed = refused[name]
    assert BAD[name][1] in err
    assert err.startswith("train: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert (status, out) == (2, "")
    assert not changed


def test_help_tells_every_flag(refused):
    status, out, err, _ = refused["help"]
    assert (status, err) == (0, "")
    assert out.startswith("Train a network that restyles any photo in one pass.")
    for words in ("--initial: Model file", "--[no]add_style: Keep", "--styles: Paint"):
        assert words in out
