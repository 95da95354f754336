"""The command's --resume: what it refuses, and runs that end as if never stopped."""

import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest
from command_lines import (
    FINE,
    MASKED,
    ONE,
    Bad,
    check_bad,
    check_refused,
    flip,
    folder,
    good,
    halves,
    ids,
    listing,
    metrics,
    settings,
    truncate,
    with_flags,
    written,
)
from PIL import Image
from session_runs import copied_after

import nstjax
from nstjax.io.weights import read_params

# What the prepared working folder was run with.
STORED = (*ONE, "--workdir=run")
STORED_STEPS = ("--steps=4", "--checkpoint_every=2")


def resumed(*flags: str) -> tuple[str, ...]:
    return (*STORED, *STORED_STEPS, "--resume", *flags)


def written_log(contents: bytes) -> Callable[[], object]:
    return lambda: pathlib.Path("run/metrics.jsonl").write_bytes(contents)


def other_photo() -> None:
    Image.effect_noise((64, 48), 50).convert("RGB").save("photo.png")


def doubled_bias(loaded):
    params = {layer: dict(parts) for layer, parts in loaded.params.items()}
    params["conv1_1"]["bias"] = 2 * params["conv1_1"]["bias"]
    return params


CHECKPOINT = "run/checkpoint.safetensors"

BAD_RESUMES = [
    Bad("resume without workdir", with_flags("--resume"), "needs the --workdir"),
    Bad(
        "resume in an empty folder",
        with_flags("--workdir=empty", "--resume"),
        "holds no run",
        folder("empty"),
    ),
    Bad(
        "resume in no folder",
        with_flags("--workdir=nowhere", "--resume"),
        "holds no run",
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
    Bad("resume, log no text", resumed(), "metrics.jsonl", written_log(b"\xff\xfe\n")),
    Bad("resume, log no rows", resumed(), "metrics.jsonl", written_log(b"3\n")),
    Bad(
        "resume, config no settings",
        resumed(),
        "config.json is damaged",
        written("run/config.json", "[]"),
    ),
    Bad("resume, cut run.h5", resumed(), "run.h5", lambda: truncate("run/run.h5")),
]


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


@pytest.mark.parametrize("bad", BAD_RESUMES, ids=ids(BAD_RESUMES))
def test_bad_resume_is_one_line_and_writes_nothing(bad, studio, run_folder, command):
    check_bad(bad, studio, command)


@pytest.mark.usefixtures("pictures")
def test_a_resumed_run_takes_the_mixed_style_that_it_has(command, monkeypatch):
    flags = (*ONE, *FINE, "--workdir=run", "--checkpoint_every=1")
    flags += ("--style_layers=relu1_1", "--content_layers=relu1_1")
    out = good(command, *flags)
    assert "wrote run/style.png, the mixed style" in out
    result = pathlib.Path("out.png").read_bytes()
    style = pathlib.Path("run/style.png").read_bytes()
    assert settings("run")["image_sha256"].keys() == {
        "content", "style_1", "fine_style"
    }  # fmt: skip
    pathlib.Path("out.png").unlink()
    out = good(command, *flags, "--resume")
    assert "mixing" not in out
    assert pathlib.Path("out.png").read_bytes() == result
    # Without it, it is made again.
    pathlib.Path("run/style.png").unlink()
    assert "wrote run/style.png" in good(command, *flags, "--resume")
    assert pathlib.Path("run/style.png").read_bytes() == style
    shutil.copy("third.png", "second.png")
    status, _, err = command(*flags, "--resume")
    assert status == 2
    assert "image_sha256 was" in err


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


TOGETHER_NOTES = (
    "nstjax: note: region #ff0000 (50 % of the photo): painting.png; region #0000ff "
    "(50 %): painting.png, second.png\n"
)


@pytest.mark.usefixtures("pictures")
def test_all_controls_together_resume_bit_equal_after_a_kill(command):
    # In the second scale, and not at a checkpoint.
    with copied_after("runs.log.append_metrics", {14: "killed"}, "whole"):
        status, out, err = command(*together("whole"))
    assert (status, err) == (0, TOGETHER_NOTES)
    assert "24x18 pixels, 8 steps, then 48x36 pixels, 12 steps of adam" in out
    assert 9 < metrics("killed")[-1]["step"] < 20
    assert not pathlib.Path("killed/stylized.png").exists()
    status, _, err = command(*together("killed", "--resume"))
    assert (status, err) == (0, TOGETHER_NOTES)
    names = {path.name for path in pathlib.Path("whole").iterdir()}
    assert names == {path.name for path in pathlib.Path("killed").iterdir()}
    assert names >= {"stylized.png", "checkpoint.safetensors", "snapshot_000015.png"}
    for name in names - {"metrics.jsonl", "run.h5"}:
        whole, killed = (pathlib.Path(top, name) for top in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name
    rows = [
        [{**row, "seconds": 0} for row in metrics(top)] for top in ("whole", "killed")
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 21

    found = settings("whole")
    assert (found["color"], found["style_loss"]) == ("luminance", "moments")
    assert (found["keep"], found["adam_betas"]) == ("average", [0.9, 0.99])
    assert (found["pyramid"], found["pyramid_steps"]) == ("2", [12])
    assert found["region_weights"] == [1, 2]
    assert found["style_regions"] == ["all", "blue"]
    assert found["style_image_layers"] == [None, ["relu1_1"]]
    masks = {
        "content_mask": "two.png",
        "style_mask_1": "painted.png",
        "stylize_mask": "ramp.png",
    }
    hashes = {
        name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        for name, path in masks.items()
    }
    assert found["image_sha256"].items() >= hashes.items()

    # Another mask is another run, and so is every other control.
    before = listing(pathlib.Path("whole"))
    halves("other.png", (64, 40), "red", "blue")
    for flag, says in (
        ("--content_mask=other.png", "image_sha256 was"),
        ("--stylize_mask=", "image_sha256 was"),
        ("--style_mask=none,none", "image_sha256 was"),
        ("--style_regions=all,red+blue", "style_regions was"),
        ("--region_weights=2,2", "region_weights was"),
        ("--color_space=lab", "color_space was"),
        ("--style_loss=gram", "style_loss was"),
        ("--guide_mode=all", "guide_mode was"),
        ("--style_image_layers=all,all", "style_image_layers was"),
        ("--pyramid=none", "pyramid was"),
        ("--steps=9", "steps was 8, is 9"),
    ):
        name = f"{flag.partition('=')[0]}="
        # A list of paths is added to, not replaced.
        others = [given for given in together("whole") if not given.startswith(name)]
        status, out, err = command(*others, "--resume", flag)
        assert status == 2
        check_refused(status, out, err, says)
    assert listing(pathlib.Path("whole")) == before
