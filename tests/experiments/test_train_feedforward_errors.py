"""The launcher of feed-forward trainings refuses bad input in one line."""

import contextlib
import shutil
import sys

import pytest
from command_lines import listing
from training_gallery import (
    ADAIN,
    BASE,
    DESCENT,
    NARROW,
    ONE,
    PLAIN,
    SHALLOW,
    TRAIN,
    one_training,
)

DIVERGING = (
    *(*ONE, "--workdir=../diverged/run", "--steps=12"),
    f'{SHALLOW[:-1]}, "beta": 1e38}}',
)
# What is wrong beside the flags that train, {flags with blanks between: what is said}.
BESIDE = {
    "--workdir=": "give --workdir",
    "photo.png": "unexpected argument photo.png",
    "--photos=../photos/1.png": "is not a folder",
    "--photos=../none": "../none does not exist",
    "--photos=../texts": "../texts holds no pictures",
    # Its own samples, and a hidden file.
    "--photos=../own --workdir=../own/run": "../own holds no pictures",
    "--photos=../hidden": "../hidden holds no pictures",
    "--photos=../broken": "0.png is not a picture",
    "--held_out=7": "--held_out=7 of 7 photos leaves none",
    "--architecture={1}": "--architecture is no JSON",
    '--architecture={"depth":1}': "depth",
    '--architecture={"kind":"adain"}': "no architecture",
    f"--loss={100_000 * '['}": "--loss is no JSON (maximum recursion",
    "--loss=3": "--loss=3: give an object",
    '--loss={"gamma":1}': "the loss has no 'gamma'",
    '--loss={"steps":1}': "the loss has no 'steps'",
    '--loss={"alpha":"1"}': "alpha must be a finite number of 0 or more",
    '--loss={"normalize_gradients":1}': "true or false, got 1",
    '--loss={"beta":NaN}': "beta must be a finite number",
    "--title=storm=Sea": "--title=storm: give NAME=TEXT of one of wave",
    "--style_size=big": "size 'big' is not understood",
    "--add_style": "give one painting and the model (--initial",
    "--add_style --initial=../instance.safetensors": (
        "only a network with conditional instance normalization takes another"
    ),
    "--initial=../instance.safetensors": "the initial model has another architecture",
    "--weights=none.safetensors": "none.safetensors does not",
    "--workdir=../trained/run --seed=1": "had other settings (seed was 0, is 1)",
    "--workdir=../trained/run --steps=1": "has had 2 updates: give as many steps",
    "--workdir=../older/run": (
        "checkpoints holds checkpoints of another version of nstjax: choose another"
    ),
    "--workdir=../lost": "checkpoints is there already",
    "--workdir=../damaged": "config.json is damaged",
    f"--preset=johnson-in {NARROW[:-2].replace(' ', '')}2}}": (
        "a picture of 16x16 pixels is too small for this network"
    ),
    '--preset=pytorch-fns --loss={"content_layers":["pool5"]}': (
        "image of 16x16 pixels is too small for pool5"
    ),
    "--seed=4294967296": "seed",
    "--learning_rate=0": "learning_rate is 0",
    "--learning_rate=nan": "learning_rate must be",
    "--average_decay=1": "average_decay must be 0 or more and below 1, got 1.0",
    "--average_decay=nan": "average_decay must be 0 or more and below 1, got nan",
    "--grid_weight=1e39": "grid_weight must be",
    "--flicker_weight=nan": "flicker_weight must be",
    "--identity_weight=nan": "identity_weight must be",
    "--largest=nan": "largest must be at least 1",
    "--largest=inf": "largest must be a finite number",
    "--adversarial_weight=1 --adversarial_layer=relu9_1": "unknown layer 'relu9_1'",
    "--recolor=0.5": "are for random parts of any painting",
    "--tensorboard": "pip install 'nstjax[train]'",
}
STYLED = (*BASE, SHALLOW)
BAD = {
    **{flags[:40]: ((*ONE, *flags.split()), says) for flags, says in BESIDE.items()},
    "no styles": (BASE, "give --styles"),
    "no painting": ((*STYLED, "--styles=none.png"), "none.png does not exist"),
    "several styles": (
        (*STYLED, "--styles=../paintings"),
        "2 styles need a network with conditional instance normalization: give --pre",
    ),
    "style twice": ((*STYLED, "--styles=x=a.png,x=b.png"), "names 'x' twice"),
    "its name": ((*STYLED, "--styles=a:b=../paintings/a.png"), "'a:b' cannot name a"),
    "added to arbitrary": (
        (*PLAIN, "--styles=a.png", "--add_style", "--initial=../adain.safetensors"),
        "are trained on all of theirs together (--keep_styles)",
    ),
    "another encoder": (
        (*ADAIN, "--initial=../adain.safetensors", "--weights=../other.safetensors"),
        "the initial model is of another encoder",
    ),
    "another painting": (
        (*STYLED, "--styles=wave=../paintings/b.png", "--workdir=../trained/run"),
        "had other settings (paintings was",
    ),
    "identity weight alone": (
        (*ADAIN, "--identity=0", "--identity_weight=1"),
        "give --identity too",
    ),
    "an encoder of its own": (
        (*ADAIN, "--encoder=../slim.safetensors"),
        "encoder is for learned descent: give --preset=descent",
    ),
    "its channels": (
        (*DESCENT, '--architecture={"encoder_channels": [4, 4, 4, 6]}'),
        "encoder_channels are those of the network that encodes",
    ),
    "kept and identical": (
        (*DESCENT, "--keep_styles"),
        "are for random parts of any painting: give --preset=descent or adain, without",
    ),
    "size of descent": ((*DESCENT, "--size=20"), "size must be a multiple of 8"),
    "adversary of descent": (
        (*DESCENT, "--adversarial_weight=1"),
        "learned descent has no adversarial loss",
    ),
    "balance of arbitrary": ((*ADAIN, "--balance_styles"), "several styles"),
    "content of arbitrary": (
        (*ADAIN, '--loss={"content_layers": ["relu3_1"]}'),
        "must be relu4_1, which is decoded, got relu3_1",
    ),
    "padding of arbitrary": (
        (*ADAIN, '--loss={"image_padding": "replicate"}'),
        "image_padding of arbitrary style must be zero",
    ),
    "pooling of arbitrary": (
        (*ADAIN, '--loss={"pool_padding": "valid"}'),
        "pool_padding of arbitrary style must be same",
    ),
}


@pytest.fixture(scope="module")
def trained(gallery, program):
    """The folder of the bad commands, beside a training and what is none.

    And what a training that diverges says, which takes the first one's programs.
    """
    (gallery / "lost" / "checkpoints").mkdir(parents=True)
    (gallery / "damaged").mkdir()
    for name in ("own/run/samples/000001.png", "hidden/._1.png"):
        (gallery / name).parent.mkdir(parents=True)
        (gallery / name).touch()
    (gallery / "damaged" / "config.json").write_text('{"settings": ')
    folder = gallery / "bad"
    folder.mkdir()
    with contextlib.chdir(folder), one_training():
        status, out, err = program(TRAIN, *ONE, "--workdir=../trained/run")
        assert (status, out) == (0, "../trained/run/model.safetensors\n"), err
        older = shutil.copytree(gallery / "trained", gallery / "older") / "run"
        shutil.rmtree(older / "checkpoints")
        (older / "checkpoints" / "2" / "state").mkdir(parents=True)
        return folder, program(TRAIN, *DIVERGING)


@pytest.fixture
def train(trained, program, monkeypatch):
    """Run it there, where tensorboardX is not installed."""
    monkeypatch.chdir(trained[0])
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    return lambda *arguments: program(TRAIN, *arguments)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_nothing_written(name, gallery, train):
    arguments, says = BAD[name]
    before = listing(gallery)
    status, out, err = train(*arguments)
    assert says in err
    assert err.startswith("train_feedforward: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert (status, out) == (2, "")
    assert listing(gallery) == before


def test_help_tells_every_flag(train):
    status, out, err = train("--help")
    assert (status, err) == (0, "")
    assert out.startswith("Train a network that restyles any photo in one pass.")
    for words in ("--initial: Model file", "--[no]add_style: Keep", "--styles: Paint"):
        assert words in out


def test_what_is_not_finite_ends_the_training_without_a_model(trained, gallery):
    status, out, err = trained[1]
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith(
        "train_feedforward: error: the loss was not finite 10 times in a row, up to "
        "step 10: "
    )
    assert (gallery / "diverged" / "run" / "config.json").exists()
    assert not (gallery / "diverged" / "run" / "model.safetensors").exists()
