"""The command's errors: bad input is refused in one line, and nothing is written."""

import os
import pathlib
import resource
import sys

import pytest
from command_lines import BASE, ONE, RUN, check_bad, check_refused, listing, truncate
from forked import NSTJAX, nstjax_forked, run_forked
from PIL import Image


def blank(name: str, size: tuple[int, int], mode: str = "RGB") -> None:
    Image.new(mode, size).save(name)


PICTURES = [
    (("nowhere.png", "painting.png"), "nowhere.png does not exist"),
    (("cut.png", "painting.png"), "cut.png is damaged or cut"),
    (("empty.jpg", "painting.png"), "empty.jpg is empty"),
    (("text.png", "painting.png"), "text.png is not a picture"),
    (("dot.png", "painting.png"), "1×1 pixels"),
    (("vast.png", "painting.png"), "more than 178 million pixels"),
    (("album.png", "painting.png"), "give a folder for the photos"),
    (("photo.png", "nowhere.png"), "nowhere.png does not exist"),
    (("photo.png", "painting.png", "other.png"), "other.png does not exist"),
    (("photo.png", "painting.png", "--init=start.png"), "start.png does not exist"),
    (("photo.png", "painting.png", "--init=zeros"), "zeros does not exist"),
    (("photo.png", "painting.png", "--init=thin.png"), "init image has 900x18 pixels"),
    (
        ("photo.png", "thin.png"),
        "thin.png has 900x18 pixels, of which this run makes 48x1, and is too small "
        "for relu5_1: it needs at least 16 on each side",
    ),
    (("photo.png",), "give a photo and a painting"),
    ((), "give a photo and a painting"),
    (("photo.png", "painting.png", "--demo"), "--demo brings its own"),
]


@pytest.mark.parametrize(("arguments", "says"), PICTURES)
def test_bad_pictures_are_one_line_and_write_nothing(arguments, says, studio, command):
    (studio / "cut.png").write_bytes((studio / "painting.png").read_bytes())
    truncate("cut.png")
    (studio / "empty.jpg").touch()
    (studio / "text.png").write_text("a photo of a cat")
    (studio / "album.png").mkdir()
    blank("dot.png", (1, 1))
    blank("thin.png", (900, 18))
    if "vast.png" in arguments:
        blank("vast.png", (14000, 14000), "1")
    check_bad(command, *BASE, *arguments, says=says)


FLAGS = [
    ("--output=nowhere/out.png", "create the folder nowhere"),
    ("--output=out.xyz", "out.xyz has no suffix"),
    ("--output=out", "out has no suffix"),
    ("--output=taken_000001.png", "taken_000001.png is a folder"),
    ("--output=.", ". is a folder: give the name of a file"),
    ("--output=/", "/ is a folder: give the name of a file"),
    ("--output=photo.png", "photo.png is one of the inputs"),
    ("--output=taken.png --montage", "taken_montage.png is a folder"),
    ("--output=taken.png --snapshots=1", "taken_000001.png is a folder"),
    ("--workdir=photo.png", "photo.png is a file"),
    ("--workdir=/dev/null/run", "/dev/null"),
    ("--network_picture=net.txt", "net.txt has no suffix"),
    ("--network --size=15", "too small for pool5"),
    ("--alpha=1e39", "alpha must be a finite number"),
    ("--alpha=much", "flag --alpha=much: give a number"),
    ("--content_layer_weights=heavy", "content_layer_weights must be numbers"),
    ("--style_blend_weights=0", "style_blend_weights must be"),
    ("--learning_rate=0", "the image would never change"),
    ("--steps=many", "flag --steps=many: give a whole number"),
    ("--seed=99999999999999999999", "in the range [0, 4294967295]"),
    ("--seed=-1", "flag --seed=-1"),
    ("--quality=0", "flag --quality=0: 0 is not an integer in the range [1, 100]"),
    ("--snapshots=first", "snapshots must be whole numbers"),
    (f"--snapshots={'9' * 5000}", "snapshots must be whole numbers"),
    ("--checkpoint_every=0", "flag --checkpoint_every=0: 0 is not a positive integer"),
    ("--log_every=0", "flag --log_every=0: 0 is not a positive integer"),
    ("--preview_seconds=-1", "flag --preview_seconds=-1"),
    ("--size=", "size '' is not understood"),
    ("--size=15", "photo.png: image of 15x11 pixels is too small for relu5_1"),
    ("--preset=picasso", "unknown preset 'picasso'"),
    ("--optimizer=sgd", "should be one of <adam|lbfgs|lbfgs-linesearch>"),
    ("--content_layers=relu6_1", "unknown layer 'relu6_1'"),
    ("--pool=median", "median"),
    ("--stesp=3", "Did you mean: steps?"),
    ("--noquiet=3", "quiet"),
]


@pytest.mark.parametrize(("flags", "says"), FLAGS)
def test_bad_flags_are_one_line_and_write_nothing(flags, says, studio, command):
    for name in ("taken_000001.png", "taken_montage.png"):
        (studio / name).mkdir()
    check_bad(command, *RUN, *flags.split(), says=says)


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
    status, out, err = nstjax_forked(*RUN, "--stpes=3")
    check_refused(status, out, err, "stpes")
    assert out == ""
    assert listing(studio) == before


@needs_permissions
@pytest.mark.parametrize(
    ("locked", "mode", "arguments", "says"),
    [
        ("photo.png", 0o000, RUN, "photo.png cannot be opened (Permission denied)"),
        ("album", 0o555, (*RUN, "--output=album/out.png"), "is not writable"),
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
