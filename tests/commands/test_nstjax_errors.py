"""The command's errors: bad input is refused in one line, and nothing is written."""

import os
import pathlib
import resource
import sys
from collections.abc import Callable

import pytest
from command_lines import (
    BASE,
    ONE,
    RUN,
    Bad,
    as_photo,
    bad_flag,
    check_bad,
    check_refused,
    folder,
    ids,
    listing,
    truncate,
    with_flags,
    written,
)
from forked import NSTJAX, nstjax_forked, run_forked
from PIL import Image


def truncated_jpeg() -> None:
    Image.effect_noise((90, 90), 80).convert("RGB").save("cut.jpg")
    truncate("cut.jpg")


def truncated_painting() -> None:
    truncate("painting.png")


def blank(name: str, size: tuple[int, int], mode: str = "RGB") -> Callable[[], None]:
    return lambda: Image.new(mode, size).save(name)


BAD_PICTURES = [
    Bad("missing", as_photo("nowhere.png"), "nowhere.png does not exist"),
    Bad(
        "truncated JPEG",
        as_photo("cut.jpg"),
        "cut.jpg is damaged or cut",
        truncated_jpeg,
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
        "14000x14000",
        as_photo("vast.png"),
        "more than 178 million pixels",
        blank("vast.png", (14000, 14000), "1"),
    ),
    Bad("folder", as_photo("album"), "give a folder for the photos", folder("album")),
    Bad("folder .png", as_photo("a.png"), "give a folder for the", folder("a.png")),
    Bad(
        "missing painting",
        ("photo.png", "nowhere.png", *BASE),
        "nowhere.png does not exist",
    ),
    Bad("truncated painting", RUN, "painting.png is damaged", truncated_painting),
    Bad("missing second painting", (*RUN, "other.png"), "other.png does not exist"),
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
        "thin.png has 900x18 pixels, of which this run makes 48x1, and is too small "
        "for relu5_1: it needs at least 16 on each side",
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
    bad_flag("--output=.", ". is a folder: give the name of a file"),
    bad_flag("--output=/", "/ is a folder: give the name of a file"),
    bad_flag("--workdir=photo.png", "photo.png is a file"),
    bad_flag("--workdir=/dev/null/run", "/dev/null"),
    Bad("workdir in a file", with_flags("--workdir=photo.png/run"), "photo.png"),
    Bad(
        "network picture of unknown format",
        ("--network_picture=net.txt",),
        "net.txt has no suffix",
    ),
    Bad(
        "montage cannot be written",
        with_flags("--montage"),
        "out_montage.png is a folder",
        folder("out_montage.png"),
    ),
    Bad(
        "snapshot cannot be written",
        with_flags("--snapshots=1"),
        "out_000001.png is a folder",
        folder("out_000001.png"),
    ),
    bad_flag("--output=photo.png", "photo.png is one of the inputs"),
]

BAD_NUMBERS = [
    bad_flag("--alpha=1e39", "alpha must be a finite number"),
    bad_flag("--seed=99999999999999999999", "seed must lie in"),
    bad_flag("--seed=-1", "seed must lie in"),
    Bad("network too small", ("--network", "--size=15"), "too small for pool5"),
    *(
        bad_flag(f"--{name}={value}", f"{name} must be a finite number")
        for name in ("alpha", "beta", "tv", "learning_rate")
        for value in ("-1", "nan", "inf")
    ),
    *(
        bad_flag(
            f"--style_layer_weights=1,1,{value},1,1", "style_layer_weights must be"
        )
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
    bad_flag("--lbfgs_num_correction=0", "lbfgs_num_correction must lie in 1..1000"),
    bad_flag("--steps=0", "steps must be 1 or more"),
    bad_flag("--steps=-3", "steps must be 1 or more"),
    bad_flag("--steps=many", "flag --steps=many: give a whole number"),
    bad_flag("--alpha=much", "flag --alpha=much: give a number"),
    bad_flag("--stesp=3", "Did you mean: steps?"),
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
    Bad("long", with_flags(f"--snapshots={'9' * 5000}"), "snapshots must be steps"),
    bad_flag("--checkpoint_every=0", "checkpoint_every must be 1 or more"),
    bad_flag("--log_every=0", "log_every must be 1 or more"),
    bad_flag("--preview_seconds=-1", "preview_seconds must be 0 or more"),
    *(
        bad_flag(f"--size={value}", "size")
        for value in ("huge", "0", "-5", "48x", "0x48", "48.5", "30000", "")
    ),
    bad_flag("--size=15", "photo.png: image of 15x11 pixels is too small for relu5_1"),
]

BAD_NAMES = [
    bad_flag("--preset=picasso", "unknown preset 'picasso'"),
    bad_flag("--optimizer=sgd", "unknown optimizer 'sgd'"),
    bad_flag("--content_layers=relu6_1", "unknown layer 'relu6_1'"),
    bad_flag("--style_layers=relu1_1,conv9", "unknown layer 'conv9'"),
    bad_flag("--style_layers=relu1_1,relu1_1", "different names"),
    bad_flag("--pool=median", "median"),
    bad_flag("--stpes=3", "stpes"),
    bad_flag("--noquiet=3", "quiet"),
]


@pytest.mark.parametrize(
    "bad",
    TABLE := [*BAD_PICTURES, *BAD_OUTPUTS, *BAD_NUMBERS, *BAD_NAMES],
    ids=ids(TABLE),
)
def test_bad_input_is_one_line_and_writes_nothing(bad, studio, command):
    check_bad(bad, studio, command)


# --- as processes of their own: exit status and streams as a shell sees them --------

# Root may read and write everything; without its capabilities it may not.
AS_ANYBODY = """
import ctypes
# No capability is left, of version 3 and of this process.
header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(header, none) == 0
"""
needs_permissions = pytest.mark.skipif(
    sys.platform != "linux", reason="root's capabilities are dropped as Linux does it"
)


def test_bad_input_to_a_process_is_one_line_and_writes_nothing(studio):
    before = listing(studio)
    status, out, err = nstjax_forked(*with_flags("--stpes=3"))
    check_refused(status, out, err, "stpes")
    assert out == ""
    assert listing(studio) == before


@needs_permissions
@pytest.mark.parametrize(
    ("locked", "mode", "arguments", "says"),
    [
        ("photo.png", 0o000, RUN, "photo.png cannot be opened (Permission denied)"),
        ("album", 0o555, with_flags("--output=album/out.png"), "is not writable"),
    ],
)
def test_missing_permission_is_one_line_and_writes_nothing(
    locked, mode, arguments, says, studio
):
    (studio / "album").mkdir()
    before = listing(studio)
    (studio / locked).chmod(mode)
    status, out, err = run_forked(AS_ANYBODY + NSTJAX, *arguments)
    (studio / locked).chmod(0o755)
    check_refused(status, out, err, says)
    assert listing(studio) == before


@pytest.fixture
def full_disk(command, studio):
    """Run where files can have so many bytes only: full_disk(size, *arguments)."""
    # What it compiles is stored before.
    assert command(*ONE)[0] == 0
    (studio / "out.png").unlink()

    def run(size, *arguments):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            return command(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return run


def test_full_disk_is_one_line_and_leaves_no_part_of_a_file(studio, full_disk):
    before = listing(studio)
    (studio / "out.png").write_text("the old one")
    # Too little for the picture.
    status, out, err = full_disk(1000, *ONE)
    check_refused(status, out, err, "out.png cannot be written (File too large)")
    assert (studio / "out.png").read_text() == "the old one"
    (studio / "out.png").unlink()
    assert listing(studio) == before


def test_full_disk_in_the_working_folder_costs_no_result(full_disk):
    # Enough for the log, but too little for run.h5 and the checkpoint.
    status, out, err = full_disk(20_000, *ONE, "--workdir=run")
    assert status == 1
    assert err.count("File too large") == err.count("\n") == 2
    for what in ("run.h5", "a checkpoint"):
        assert f"the run goes on without {what}" in err
    # What was complete before the disk was full stays; nothing half written does.
    assert sorted(os.listdir("run")) == ["config.json", "metrics.jsonl"]
    assert "wrote out.png after 2 steps" in out
    assert pathlib.Path("out.png").exists()
