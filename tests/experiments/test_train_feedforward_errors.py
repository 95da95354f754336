"""The launcher of feed-forward trainings refuses bad input in one line."""

import contextlib
import sys

import pytest
from command_lines import listing
from training_gallery import (
    ADAIN,
    ADVERSARIAL,
    BASE,
    NARROW,
    ONE,
    PLAIN,
    SHALLOW,
    TRAIN,
    one_training,
)


def with_styles(*flags):
    return (*BASE, SHALLOW, *flags)


def with_loss(text):
    return (*ONE, f"--loss={text}")


def with_architecture(text):
    return (*ONE, f"--architecture={text}")


DIVERGING = (
    *(*ONE, "--workdir=../diverged/run", "--steps=12"),
    f'{SHALLOW[:-1]}, "beta": 1e38}}',
)
BAD = {
    "no styles": (BASE, "give --styles"),
    "no workdir": ((*ONE, "--workdir="), "give --workdir"),
    "an argument": ((*ONE, "photo.png"), "unexpected argument photo.png"),
    "a photo": ((*ONE, "--photos=../photos/1.png"), "is not a folder"),
    "missing folder": ((*ONE, "--photos=../none"), "../none does not exist"),
    "texts": ((*ONE, "--photos=../texts"), "../texts holds no pictures"),
    "its own samples": (
        (*ONE, "--photos=../own", "--workdir=../own/run"),
        "../own holds no pictures",
    ),
    "a hidden file": ((*ONE, "--photos=../hidden"), "../hidden holds no pictures"),
    "broken photos": ((*ONE, "--photos=../broken"), "0.png is not a picture"),
    "few photos": ((*ONE, "--batch_size=6"), "5 readable pictures is smaller than"),
    "all held out": ((*ONE, "--held_out=7"), "--held_out=7 of 7 photos leaves none"),
    "no painting": (with_styles("--styles=none.png"), "none.png does not exist"),
    "architecture no JSON": (with_architecture("{width: 1}"), "--architecture is no"),
    "architecture's field": (with_architecture('{"depth": 1}'), "depth"),
    "architecture's kind": (with_architecture('{"kind": "adain"}'), "no architecture"),
    "deep loss": (with_loss("[" * 100_000), "--loss is no JSON (maximum recursion"),
    "loss a number": (with_loss("3"), "--loss=3: give an object"),
    "loss's field": (with_loss('{"gamma": 1}'), "the loss has no 'gamma'"),
    "not the loss's": (with_loss('{"steps": 1}'), "the loss has no 'steps'"),
    "loss's type": (with_loss('{"alpha": "1"}'), "a value of a wrong type"),
    "loss's switch": (with_loss('{"normalize_gradients": 1}'), "true or false, got 1"),
    "loss's NaN": (with_loss('{"beta": NaN}'), "beta must be a finite number"),
    "several styles": (
        with_styles("--styles=../paintings"),
        "2 styles need a network with conditional instance normalization: give --pre",
    ),
    "style twice": (
        with_styles("--styles=x=../paintings/a.png,x=../paintings/b.png"),
        "--styles names 'x' twice",
    ),
    "style's name": (
        with_styles("--styles=a:b=../paintings/a.png"),
        "'a:b' cannot name a style",
    ),
    "sampled": (
        (*ADVERSARIAL, '--loss={"style_loss": "sliced"}'),
        "style_loss=sliced needs paintings of one size",
    ),
    "title of no style": (
        (*ONE, "--title=storm=Storm at Sea"),
        "--title=storm: give NAME=TEXT of one of wave",
    ),
    "style_size": ((*ONE, "--style_size=big"), "size 'big' is not understood"),
    "tiny style_size": (
        (
            *with_loss('{"style_layers": ["relu2_1"]}'),
            "--style_size=1",
            "--preset=pytorch-fns",
        ),
        "image of 1x1 pixels is too small for relu2_1",
    ),
    "no initial": ((*ONE, "--add_style"), "give one painting and the model (--initial"),
    "added to one": (
        (*ONE, "--add_style", "--initial=../instance.safetensors"),
        "only a network with conditional instance normalization takes another",
    ),
    "added to arbitrary": (
        (*PLAIN, "--styles=a.png", "--add_style", "--initial=../adain.safetensors"),
        "takes any painting as it is",
    ),
    "another initial": (
        (*ONE, "--initial=../instance.safetensors"),
        "the initial model has another architecture",
    ),
    "another encoder": (
        (*ADAIN, "--initial=../adain.safetensors", "--weights=../other.safetensors"),
        "the initial model decodes another network",
    ),
    "weights": ((*ONE, "--weights=none.safetensors"), "none.safetensors does not"),
    "another training": (
        (*ONE, "--workdir=../trained/run", "--seed=1"),
        "had other settings (seed was 0, is 1)",
    ),
    "another painting": (
        with_styles("--styles=wave=../paintings/b.png", "--workdir=../trained/run"),
        "had other settings (paintings was",
    ),
    "fewer steps": (
        (*ONE, "--workdir=../trained/run", "--steps=1"),
        "has had 2 updates: give as many steps",
    ),
    "no config": ((*ONE, "--workdir=../lost"), "checkpoints is there already"),
    "config": ((*ONE, "--workdir=../damaged"), "config.json is damaged"),
    "size of network": (
        (*ONE, "--preset=johnson-in", f"{NARROW[:-2]}2}}"),
        "a picture of 16x16 pixels is too small for this network",
    ),
    "size of loss": (
        (*with_loss('{"content_layers": ["pool5"]}'), "--preset=pytorch-fns"),
        "image of 16x16 pixels is too small for pool5",
    ),
    "seed": ((*ONE, "--seed=4294967296"), "seed"),
    "learning rate 0": ((*ONE, "--learning_rate=0"), "learning_rate is 0"),
    **{
        f"{name} {number}": ((*ONE, f"--{name}={number}"), f"{name} must be")
        for name, number in (
            ("learning_rate", "nan"),
            ("grid_weight", "1e39"),
            ("identity_weight", "nan"),
        )
    },
    "largest nan": ((*ONE, "--largest=nan"), "largest must be at least 1"),
    "largest inf": ((*ONE, "--largest=inf"), "largest must be a finite number"),
    "adversarial layer": (
        (*ONE, "--adversarial_weight=1", "--adversarial_layer=relu9_1"),
        "unknown layer 'relu9_1'",
    ),
    "recolor nan": ((*ADAIN, "--recolor=nan"), "must lie in 0..1, got nan"),
    "identity weight of one": (
        (*ONE, "--identity_weight=1"),
        "are for arbitrary style",
    ),
    "identity weight alone": (
        (*ADAIN, "--identity=0", "--identity_weight=1"),
        "give --identity too",
    ),
    "recolor of one": ((*ONE, "--recolor=0.5"), "are for arbitrary style"),
    "balance of arbitrary": ((*ADAIN, "--balance_styles"), "several styles"),
    "content of arbitrary": (
        (*ADAIN, '--loss={"content_layers": ["relu3_1"]}'),
        "must be relu4_1, which is decoded, got relu3_1",
    ),
    "no tensorboardX": ((*ONE, "--tensorboard"), "pip install 'nstjax[train]'"),
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
        return folder, program(TRAIN, *DIVERGING)


@pytest.fixture
def train(trained, program, monkeypatch):
    """Run it there, where tensorboardX is not installed."""
    monkeypatch.chdir(trained[0])
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    return lambda *arguments: program(TRAIN, *arguments)


def test_what_is_asked_for_rightly_is_trained(trained):
    # Its folder is what holds another training.
    assert (trained[0].parent / "trained" / "run" / "model.safetensors").exists()


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
