"""The command: what it refuses, in one line each, and what its flags do."""

import hashlib
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import nstjax
from nstjax import session
from nstjax.io.weights import read_params
from nstjax.presets import PRESETS

# Later flags win, so that a test can put its own after these.
BASE = ("--output=out.png", "--size=48", "--steps=2", "--quiet")
PICTURES = ("photo.png", "painting.png")
RUN = (*PICTURES, *BASE)
# What the prepared working folder was run with.
STORED = (*PICTURES, "--size=48", "--quiet", "--optimizer=adam", "--workdir=run")
STORED_STEPS = ("--steps=4", "--checkpoint_every=2")


class Bad(NamedTuple):
    """One bad input: arguments, what the message says, and how it comes to be."""

    name: str
    arguments: Sequence[str]
    says: str
    prepare: Callable[[], object] = lambda: None


def with_flags(*flags: str) -> tuple[str, ...]:
    return (*RUN, *flags)


def as_photo(path: str) -> tuple[str, ...]:
    return (path, "painting.png", *BASE)


def resumed(*flags: str) -> tuple[str, ...]:
    return (*STORED, *STORED_STEPS, "--resume", *flags)


def bad_flag(flag: str, says: str) -> Bad:
    return Bad(flag, with_flags(flag), says)


def truncate(path: str, share: float = 0.6) -> None:
    contents = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(contents[: int(len(contents) * share)])


def flip(path: str, position: int = -5) -> None:
    """Flip one bit; near the end of a safetensors file that is a tensor's."""
    contents = bytearray(pathlib.Path(path).read_bytes())
    contents[position] ^= 1
    pathlib.Path(path).write_bytes(contents)


def truncated_jpeg() -> None:
    Image.effect_noise((90, 90), 80).convert("RGB").save("cut.jpg")
    truncate("cut.jpg")


def truncated_painting() -> None:
    truncate("painting.png")


def blank(name: str, size: tuple[int, int], mode: str = "RGB") -> Callable[[], None]:
    return lambda: Image.new(mode, size).save(name)


def written(name: str, text: str) -> Callable[[], object]:
    return lambda: pathlib.Path(name).write_text(text)


def folder(name: str) -> Callable[[], None]:
    return lambda: pathlib.Path(name).mkdir()


def own_weights(
    change: Callable[[str], object], name: str = "own.safetensors"
) -> Callable[[], None]:
    def prepare() -> None:
        shutil.copy(os.environ["NSTJAX_WEIGHTS"], name)
        change(name)

    return prepare


def with_nan(path: str) -> None:
    tensors = safetensors.numpy.load_file(path)
    tensors["conv3_1/bias"][2] = np.nan
    safetensors.numpy.save_file(tensors, path)


def other_network(path: str) -> None:
    shapes = {"layer1.0.conv1.weight": (4, 3, 3, 3), "fc.bias": (10,)}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, path)


def other_h5(path: str) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights/res2a/kernel:0"] = np.zeros((3, 3, 3, 8), np.float32)


def other_photo() -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save("photo.png")


CHECKPOINT = "run/checkpoint.safetensors"

BAD_PICTURES = [
    Bad("missing", as_photo("nowhere.png"), "nowhere.png does not exist"),
    Bad(
        "truncated JPEG", as_photo("cut.jpg"), "cut.jpg is damaged or cut", truncated_jpeg
    ),
    Bad("zero bytes", as_photo("empty.jpg"), "is empty", written("empty.jpg", "")),
    Bad(
        "text file",
        as_photo("text.png"),
        "text.png is not a picture",
        written("text.png", "a photo of a cat"),
    ),
    Bad("1x1", as_photo("dot.png"), "1×1 pixels", blank("dot.png", (1, 1))),
    Bad(
        "20000x20000",
        as_photo("vast.png"),
        "more than 100 million pixels",
        blank("vast.png", (20000, 20000), "1"),
    ),
    Bad("folder", as_photo("album"), "album is a folder", folder("album")),
    Bad("folder .png", as_photo("a.png"), "a.png is a folder", folder("a.png")),
    Bad(
        "missing painting",
        ("photo.png", "nowhere.png", *BASE),
        "nowhere.png does not exist",
    ),
    Bad("truncated painting", RUN, "painting.png is damaged", truncated_painting),
    Bad(
        "missing second painting", (*RUN, "other.png"), "other.png does not exist"
    ),
    Bad("missing init", with_flags("--init=start.png"), "start.png does not exist"),
    Bad("unknown init", with_flags("--init=zeros"), "zeros does not exist"),
    Bad(
        "init of another size",
        with_flags("--init=start.png"),
        "init image has 50x40 pixels",
        blank("start.png", (50, 40)),
    ),
    Bad(
        "painting too thin for the deepest layer",
        ("photo.png", "thin.png", *BASE),
        "too small for relu5_1",
        blank("thin.png", (900, 18)),
    ),
    Bad("photo only", ("photo.png", *BASE), "give a photo and a painting"),
    Bad("no picture", BASE, "give a photo and a painting"),
    Bad("demo with pictures", with_flags("--demo"), "--demo brings its own"),
]

BAD_OUTPUTS = [
    bad_flag("--output=nowhere/out.png", "create the folder nowhere"),
    bad_flag("--output=out.xyz", "out.xyz has no suffix"),
    bad_flag("--output=out", "out has no suffix"),
    Bad(
        "output is a folder",
        with_flags("--output=taken.png"),
        "taken.png is a folder",
        folder("taken.png"),
    ),
    bad_flag("--workdir=photo.png", "photo.png is a file"),
    Bad("workdir in a file", with_flags("--workdir=photo.png/run"), "photo.png"),
    Bad(
        "network picture of unknown format",
        ("--network_picture=net.txt",),
        "net.txt has no suffix",
    ),
]

BAD_NUMBERS = [
    *(
        bad_flag(f"--{name}={value}", f"{name} must be a finite number")
        for name in ("alpha", "beta", "tv", "learning_rate")
        for value in ("-1", "nan", "inf")
    ),
    *(
        bad_flag(f"--style_layer_weights=1,1,{value},1,1", "style_layer_weights must be")
        for value in ("-1", "nan")
    ),
    *(
        bad_flag(f"--content_layer_weights={value}", "content_layer_weights must be")
        for value in ("-1", "nan", "heavy")
    ),
    *(
        bad_flag(f"--style_blend_weights={value}", "style_blend_weights must be")
        for value in ("-1", "nan", "0", "heavy")
    ),
    bad_flag("--style_layer_weights=1,2", "has 2 values for 5 style layers"),
    bad_flag("--content_layer_weights=1,2", "has 2 values for 1 content layers"),
    bad_flag("--style_blend_weights=1,2", "has 2 values for 1 style images"),
    bad_flag("--learning_rate=0", "the image would never change"),
    Bad("alpha and beta 0", with_flags("--alpha=0", "--beta=0"), "both 0"),
    bad_flag("--steps=0", "steps must be 1 or more"),
    bad_flag("--steps=-3", "steps must be 1 or more"),
    bad_flag("--steps=many", "many"),
    bad_flag("--alpha=much", "much"),
    bad_flag("--seed=first", "first"),
    bad_flag("--noise_ratio=0.5", "noise_ratio needs init=blend"),
    *(
        Bad(
            f"noise_ratio={value}",
            with_flags("--init=blend", f"--noise_ratio={value}"),
            "noise_ratio must lie in 0..1",
        )
        for value in ("1.5", "-0.1", "nan")
    ),
    bad_flag("--quality=0", "quality must lie in 1..100"),
    bad_flag("--quality=101", "quality must lie in 1..100"),
    bad_flag("--snapshots=first", "snapshots must be steps"),
    bad_flag("--snapshots=-1", "snapshots must be steps"),
    bad_flag("--snapshots=1.5", "snapshots must be steps"),
    bad_flag("--checkpoint_every=0", "checkpoint_every must be 1 or more"),
    bad_flag("--log_every=0", "log_every must be 1 or more"),
    bad_flag("--preview_seconds=-1", "preview_seconds must be 0 or more"),
    *(
        bad_flag(f"--size={value}", "size")
        for value in ("huge", "0", "-5", "48x", "0x48", "48.5", "30000", "")
    ),
    bad_flag("--size=15", "image of 15x11 pixels is too small for relu5_1"),
]

BAD_NAMES = [
    bad_flag("--preset=picasso", "unknown preset 'picasso'"),
    bad_flag("--optimizer=sgd", "unknown optimizer 'sgd'"),
    bad_flag("--content_layers=relu6_1", "unknown layer 'relu6_1'"),
    bad_flag("--style_layers=relu1_1,conv9", "unknown layer 'conv9'"),
    bad_flag("--style_layers=relu1_1,relu1_1", "different names"),
    bad_flag("--pool=median", "median"),
    bad_flag("--stpes=3", "stpes"),
]

BAD_WEIGHTS = [
    bad_flag("--weights=nowhere.safetensors", "nowhere.safetensors"),
    bad_flag("--weights=photo.png", "photo.png does not end in"),
    *(
        Bad(
            f"weights {name}",
            with_flags(f"--weights={file}"),
            says,
            own_weights(change, file),
        )
        for name, file, says, change in (
            ("truncated", "own.safetensors", "not readable", truncate),
            ("with a flipped bit", "own.safetensors", "wrong hash", flip),
            ("with NaN", "own.safetensors", "not finite", with_nan),
            ("of another network", "own.safetensors", "no tensor", other_network),
            ("of another Keras network", "own.h5", "own.h5", other_h5),
            ("of Keras truncated", "own.h5", "own.h5", truncate),
            ("of MATLAB damaged", "own.mat", "own.mat", truncate),
        )
    ),
]

BAD_RESUMES = [
    Bad("resume without workdir", with_flags("--resume"), "needs the --workdir"),
    Bad(
        "resume in an empty folder",
        with_flags("--workdir=empty", "--resume"),
        "holds no run to resume",
        folder("empty"),
    ),
    Bad(
        "resume in no folder",
        with_flags("--workdir=nowhere", "--resume"),
        "holds no run to resume",
    ),
    Bad("workdir with a run", (*STORED, *STORED_STEPS), "already holds a run"),
    Bad("resume, cut checkpoint", resumed(), CHECKPOINT, lambda: truncate(CHECKPOINT)),
    Bad("resume, flipped bit", resumed(), "damaged", lambda: flip(CHECKPOINT)),
    Bad("resume, other beta", resumed("--beta=3"), "beta was"),
    Bad("resume, other seed", resumed("--seed=9"), "seed was 0, is 9"),
    Bad("resume, other size", resumed("--size=40"), "size was"),
    Bad("resume, fewer steps", resumed("--steps=3"), "steps was 4, is 3"),
    Bad("resume, other photo", resumed(), "image_sha256 was", other_photo),
    Bad(
        "resume, other weights",
        resumed("--weights=own.safetensors"),
        "weights_sha256 was",
        lambda: nstjax.save_params(
            "own.safetensors", doubled_bias(read_params(os.environ["NSTJAX_WEIGHTS"]))
        ),
    ),
    Bad(
        "resume, damaged config",
        resumed(),
        "config.json is damaged",
        lambda: truncate("run/config.json"),
    ),
]


def doubled_bias(loaded):
    params = {layer: dict(parts) for layer, parts in loaded.params.items()}
    params["conv1_1"]["bias"] = 2 * params["conv1_1"]["bias"]
    return params


def ids(bad: Sequence[Bad]) -> list[str]:
    return [case.name for case in bad]


def listing(top: pathlib.Path) -> dict[str, str]:
    """Every path below a folder, and what it holds."""
    return {
        str(path.relative_to(top)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(top.rglob("*"))
    }


def check_refused(status: int, out: str, err: str, says: str) -> None:
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("nstjax: error: ")]
    notes = [line for line in lines if line.startswith("nstjax: note: ")]
    assert len(errors) == 1
    assert len(lines) == len(errors) + len(notes)
    assert says in errors[0]
    assert "Traceback" not in out + err
    assert status not in (0, None)


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory):
    """Where the first test that resumes leaves its run for the others."""
    return tmp_path_factory.mktemp("stored") / "run"


@pytest.fixture
def run_folder(studio, command, stored_run):
    """The working folder of a finished run."""
    if not stored_run.exists():
        assert command(*STORED, *STORED_STEPS)[0] == 0
        shutil.move("run", stored_run)
    shutil.copytree(stored_run, "run")


def check_bad(bad: Bad, studio: pathlib.Path, command) -> None:
    bad.prepare()
    before = listing(studio)
    status, out, err = command(*bad.arguments)
    check_refused(status, out, err, bad.says)
    assert out == ""
    assert listing(studio) == before


@pytest.mark.parametrize(
    "bad",
    TABLE := [*BAD_PICTURES, *BAD_OUTPUTS, *BAD_NUMBERS, *BAD_NAMES, *BAD_WEIGHTS],
    ids=ids(TABLE),
)
def test_bad_input_is_one_line_and_writes_nothing(bad, studio, command):
    check_bad(bad, studio, command)


@pytest.mark.parametrize("bad", BAD_RESUMES, ids=ids(BAD_RESUMES))
def test_bad_resume_is_one_line_and_writes_nothing(bad, studio, run_folder, command):
    check_bad(bad, studio, command)
