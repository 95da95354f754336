"""The command's --resume: what it refuses, and runs that end as if never stopped."""

import hashlib
import os
import pathlib
import shutil

import pytest
import safetensors.numpy
from command_lines import (
    FINE,
    MASKED,
    ONE,
    REGIONS,
    check_bad,
    good,
    halves,
    metrics,
    settings,
    truncate,
)
from PIL import Image
from session_runs import check_equal, copied_after

# What the prepared working folder was run with.
STORED = (*ONE, "--workdir=run", "--steps=4", "--checkpoint_every=2")
RESUMED = (*STORED, "--resume")
CHECKPOINT = "run/checkpoint.safetensors"


def other_photo() -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save("photo.png")


def other_weights() -> None:
    weights = safetensors.numpy.load_file(os.environ["NSTJAX_WEIGHTS"])
    weights["conv1_1/bias"] = 2 * weights["conv1_1/bias"]
    safetensors.numpy.save_file(weights, "own.safetensors")


BAD_RESUMES = [
    ((*ONE, "--workdir=nowhere", "--resume"), "holds no run", None),
    (STORED, "already holds a run", None),
    (RESUMED, CHECKPOINT, lambda: truncate(CHECKPOINT)),
    ((*RESUMED, "--seed=9"), "seed was 0, is 9", None),
    ((*RESUMED, "--steps=3"), "steps was 4, is 3", None),
    (RESUMED, "image_sha256 was", other_photo),
    ((*RESUMED, "--weights=own.safetensors"), "weights_sha256 was", other_weights),
    (RESUMED, "config.json is damaged", lambda: truncate("run/config.json")),
]


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory):
    """Where the first test that resumes leaves its run for the others."""
    return tmp_path_factory.mktemp("stored") / "run"


@pytest.fixture
def run_folder(studio, command, stored_run):
    """The working folder of a finished run."""
    if not stored_run.exists():
        assert command(*STORED)[0] == 0
        shutil.move("run", stored_run)
    shutil.copytree(stored_run, "run")


@pytest.mark.usefixtures("run_folder")
@pytest.mark.parametrize(("arguments", "says", "prepare"), BAD_RESUMES)
def test_bad_resume_is_one_line_and_writes_nothing(arguments, says, prepare, command):
    if prepare:
        prepare()
    check_bad(command, *arguments, says=says)


@pytest.mark.usefixtures("pictures")
def test_a_resumed_run_takes_the_mixed_style_that_it_has(command):
    flags = (*ONE, *FINE, "--workdir=run", "--checkpoint_every=1")
    flags += ("--style_layers=relu1_1", "--content_layers=relu1_1")
    out = good(command, *flags)
    assert "wrote run/style.png, the mixed style" in out
    painted, style = (
        pathlib.Path(name).read_bytes() for name in ("out.png", "run/style.png")
    )
    assert settings("run")["image_sha256"].keys() == {
        "content", "style_1", "fine_style"
    }  # fmt: skip
    pathlib.Path("out.png").unlink()
    assert "mixing" not in good(command, *flags, "--resume")
    assert pathlib.Path("out.png").read_bytes() == painted
    # Without it, it is made again.
    pathlib.Path("run/style.png").unlink()
    assert "wrote run/style.png" in good(command, *flags, "--resume")
    assert pathlib.Path("run/style.png").read_bytes() == style
    shutil.copy("third.png", "second.png")
    check_bad(command, *flags, "--resume", says="image_sha256 was")


# --- all controls together ----------------------------------------------------------


def together(folder, *more):
    return (
        *("photo.png", "painting.png", "second.png", f"--workdir={folder}", "--quiet"),
        *("--size=48", "--pyramid=2", "--pyramid_min_size=24", "--optimizer=adam"),
        *("--content_layers=relu1_1", "--style_layers=conv1_1,relu1_1"),
        *("--steps=8", "--pyramid_steps=12", "--checkpoint_every=3"),
        *(MASKED, "--style_mask=painted.png,none", "--style_regions=all,blue"),
        *("--region_weights=1,2", "--stylize_mask=ramp.png", "--color=luminance"),
        *("--style_loss=moments", "--keep=average", "--adam_betas=0.9,0.99"),
        *("--snapshots=5,15", "--style_image_layers=all,relu1_1"),
        *more,
    )


@pytest.mark.usefixtures("pictures")
def test_all_controls_together_resume_bit_equal_after_a_kill(command):
    notes = REGIONS.format("painting.png", "painting.png, second.png")
    # In the second scale, and not at a checkpoint.
    with copied_after("io.run_log.append_metrics", {14: "killed"}, "whole"):
        status, out, err = command(*together("whole"))
    assert (status, err) == (0, notes)
    assert "24x18 pixels, 8 steps, then 48x36 pixels, 12 steps of adam" in out
    assert 9 < metrics("killed")[-1]["step"] < 20
    assert not pathlib.Path("killed/stylized.png").exists()
    status, _, err = command(*together("killed", "--resume"))
    assert (status, err) == (0, notes)
    check_equal("killed", "whole")
    assert pathlib.Path("whole/snapshot_000015.png").exists()
    assert len(metrics("whole")) == 21

    found = settings("whole")
    assert found["region_weights"] == [1, 2]
    assert found["style_regions"] == ["all", "blue"]
    assert found["style_image_layers"] == [None, ["relu1_1"]]
    masks = {"content_mask": "two.png", "style_mask_1": "painted.png"}
    hashes = {
        name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        for name, path in masks.items()
    }
    assert found["image_sha256"].items() >= hashes.items()

    # Another mask is another run, and so is every other control, but not another name.
    shutil.copy("ramp.png", "same.png")
    renamed = ("--resume", "--stylize_mask=same.png", "--montage")
    assert command(*together("whole", *renamed))[0] == 0
    halves("other.png", (64, 40), "red", "blue")
    for flag, says in (
        ("--content_mask=other.png", "image_sha256 was"),
        ("--stylize_mask=", "image_sha256 was"),
        ("--style_mask=none,none", "image_sha256 was"),
        ("--style_regions=all,red+blue", "style_regions was"),
        ("--region_weights=2,2", "region_weights was"),
        ("--style_loss=gram", "style_loss was"),
        ("--style_image_layers=all,all", "style_image_layers was"),
        ("--pyramid=none", "pyramid was"),
        ("--steps=9", "steps was 8, is 9"),
    ):
        name = f"{flag.partition('=')[0]}="
        # A list of paths is added to, not replaced.
        others = [given for given in together("whole") if not given.startswith(name)]
        check_bad(command, *others, "--resume", flag, says=says)
