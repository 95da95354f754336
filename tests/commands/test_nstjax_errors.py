"""The command's errors: bad input is refused in one line, and nothing is written."""

import os
import resource
import shutil
import sys

import pytest
from command_lines import (
    BASE,
    FINE,
    MASKED,
    ONE,
    PICTURES,
    TWO,
    check_bad,
    check_refused,
    good,
    listing,
    truncate,
)
from forked import NSTJAX, run_forked
from PIL import Image

MIXED = " ".join(FINE)
# What each part refuses has tests beside it: here is how the command hands it on.
ARGUMENTS = [
    ("", "give a photo and a painting"),
    ("photo.png", "give a photo and a painting"),
    ("photo.png nowhere.png", "nowhere.png does not exist"),
    ("cut.png painting.png", "cut.png is damaged or cut"),
    (
        "photo.png thin.png",
        "thin.png has 900x18 pixels, of which this run makes 48x1, and is too small "
        "for relu5_1: it needs at least 16 on each side",
    ),
    ("photo.png --coarse_style=painting.png", "--coarse_style needs --fine_style"),
    ("photo.png --fine_style=second.png", "give a photo and a painting"),
    ("--demo photo.png", "--demo brings its own"),
    ("--demo --fine_style=second.png", "--demo brings its own"),
    ("--demo --coarse_style=second.png", "--demo brings its own"),
]
FLAGS = [
    ("--init=zeros", "zeros does not exist"),
    ("--init=thin.png", "init image has 900x18 pixels"),
    ("--weights=photo.png", "photo.png does not end in .safetensors"),
    ("--output=nowhere/out.png", "create the folder nowhere"),
    ("--output=out.xyz", "out.xyz has no suffix"),
    ("--output=.", ". is a folder: give the name of a file"),
    ("--output=/", "/ is a folder: give the name of a file"),
    ("--output=taken.png --montage", "taken_montage.png is a folder"),
    ("--output=taken.png --snapshots=1", "taken_000001.png is a folder"),
    (f"--output=taken.png {MIXED}", "taken.nstjax-style.png is a folder"),
    ("--workdir=photo.png", "photo.png is a file"),
    ("--workdir=/dev/null/run", "/dev/null"),
    ("--resume", "--resume needs the --workdir"),
    ("--network_picture=net.txt", "net.txt has no suffix"),
    ("--network --size=15", "too small for pool5"),
    ("--alpha=1e39", "alpha must be a finite number"),
    ("--alpha=much", "flag --alpha=much: give a number"),
    ("--steps=many", "flag --steps=many: give a whole number"),
    ("--seed=99999999999999999999", "in the range [0, 4294967295]"),
    ("--quality=0", "flag --quality=0: 0 is not an integer in the range [1, 100]"),
    (f"--snapshots={'9' * 5000}", "snapshots must be whole numbers"),
    ("--checkpoint_every=0", "flag --checkpoint_every=0: 0 is not a positive integer"),
    ("--log_every=0", "flag --log_every=0: 0 is not a positive integer"),
    ("--preview_seconds=-1", "preview_seconds must be 0 or more, got -1.0"),
    ("--preview_seconds=nan", "preview_seconds must be 0 or more, got nan"),
    ("--size=", "size '' is not understood"),
    ("--size=15", "photo.png: image of 15x11 pixels is too small for relu5_1"),
    ("--optimizer=sgd", "should be one of <adam|lbfgs|lbfgs-linesearch>"),
    ("--stesp=3", "Did you mean: steps?"),
    ("--noquiet=3", "quiet"),
    ("--content_mask=left.png+", "left.png+ lacks a mask"),
    (
        "--content_mask=left.png+right.png --style_mask=painting.png+half.png",
        "style mask of painting.png 1 is colored",
    ),
    # What is wrong with the transfer is told before the styles are mixed.
    (f"{MIXED} --style_blend_weights=1,2", "2 values for 1 style images"),
    ("--output=photo.png", "photo.png is one of the inputs"),
    ("--content_mask=left.png+right.png --output=right.png", "right.png is one of the"),
    (f"{MASKED} --style_mask=painted.png --output=painted.png", "painted.png is one"),
    ("--stylize_mask=left.png --output=left.png", "left.png is one of the inputs"),
    (f"{MIXED} --output=second.png", "second.png is one of the inputs"),
    (
        "--fine_style=in.nstjax-style.png --fine_layers=relu1_1 --output=in.jpg",
        "in.nstjax-style.png is one of the inputs",
    ),
]
OF_TWO_STYLES = [
    (f"{MASKED} --region_weights=1,heavy", "region_weights must be numbers with com"),
    ("--fine_style=third.png", "--fine_style goes with one style image"),
]
TABLE = [
    *((BASE, *case) for case in ARGUMENTS),
    *(((*PICTURES, *BASE), *case) for case in FLAGS),
    *((TWO, *case) for case in OF_TWO_STYLES),
]


@pytest.mark.parametrize(("base", "flags", "says"), TABLE)
def test_bad_input_is_one_line_and_writes_nothing(
    base, flags, says, studio, pictures, command
):
    shutil.copy("painting.png", "cut.png")
    truncate("cut.png")
    shutil.copy("second.png", "in.nstjax-style.png")
    Image.new("RGB", (900, 18)).save("thin.png")
    for end in ("_000001", "_montage", ".nstjax-style"):
        (studio / f"taken{end}.png").mkdir()
    check_bad(command, *base, *flags.split(), says=says)


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


@needs_permissions
@pytest.mark.parametrize(
    ("locked", "mode", "arguments", "says"),
    [
        ("photo.png", 0o000, ONE, "photo.png cannot be opened (Permission denied)"),
        ("album", 0o555, (*ONE, "--output=album/out.png"), "is not writable"),
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


def test_full_disk_leaves_no_part_of_a_file(studio, command):
    def full_disk(size, *arguments):
        """Run where files can have so many bytes only."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            return command(*ONE, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    # What it compiles is stored before.
    good(command, *ONE)
    (studio / "out.png").write_text("the old one")
    before = listing(studio)
    # Too little for the picture.
    check_refused(*full_disk(1000), "out.png cannot be written as PNG (File too large)")
    assert listing(studio) == before
    # Enough for picture and log, but too little for run.h5 and the checkpoint.
    status, out, err = full_disk(20_000, "--workdir=run")
    assert status == 1
    assert err.count("File too large") == err.count("\n") == 2
    for what in ("run.h5", "a checkpoint"):
        assert f"the run goes on without {what}" in err
    assert sorted(os.listdir("run")) == ["config.json", "metrics.jsonl"]
    assert "wrote out.png after 2 steps" in out
