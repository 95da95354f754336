"""Runs that are killed, interrupted, resumed or prolonged."""

import contextlib
import itertools
import pathlib
import shutil
import signal

import h5py
import numpy as np
import pytest
import safetensors.numpy
from command_lines import check_bad, good, result
from forked import killed_after
from session_runs import (
    PLAIN,
    STEPS,
    check_equal,
    check_snapshots,
    checkpoint_step,
    copied_after,
    flags,
    metrics,
    run_patched,
    shortened,
)

import nstjax
from nstjax.io.checkpoint import SCALE, write_checkpoint
from nstjax.runs import session

# What a run is killed after, and at which call of it.
PROGRESS = "runs.session.progress_text", 14
# Between the two files of the third checkpoint.
WRITTEN = "io.run_log.write_run", 3


@pytest.fixture(scope="session")
def whole_runs(tmp_path_factory):
    """Where the first test that needs an uninterrupted run leaves it."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def uninterrupted(studio, command, whole_runs):
    """uninterrupted(optimizer) -> its working folder, beside what kills leave of it."""

    def folder(optimizer: str) -> str:
        kept = whole_runs / optimizer
        if not kept.exists():
            with contextlib.ExitStack() as stack:
                for function, count in (PROGRESS, WRITTEN):
                    copies = {count: f"{kept}-{function}"}
                    stack.enter_context(copied_after(function, copies, "whole"))
                assert command(*flags(optimizer, "whole"))[0] == 0
            shutil.move("whole", kept)
        return str(kept)

    return folder


@pytest.mark.parametrize(
    ("optimizer", "left_by"),
    [("adam", None), ("lbfgs", PROGRESS[0]), ("adam", WRITTEN[0])],
)
def test_killed_run_resumes_bit_equal(
    optimizer, left_by, studio, command, uninterrupted
):
    whole = uninterrupted(optimizer)
    if left_by:
        shutil.copytree(f"{whole}-{left_by}", "run")
    else:
        function, count = PROGRESS
        run = ("nstjax", *flags(optimizer, "run"))
        killed_after(f"nstjax.{function}", *run, count=count)
    # It was under way: past its first checkpoints, before its end, and its log is
    # ahead of the checkpoint.
    assert 0 < checkpoint_step("run") < len(metrics("run")) <= STEPS
    assert not pathlib.Path("run/stylized.png").exists()
    good(command, *flags(optimizer, "run", "--resume"))
    check_snapshots("run")
    check_equal("run", whole)


def test_run_killed_before_its_first_checkpoint_resumes_from_the_start(
    studio, command, uninterrupted
):
    whole = uninterrupted("adam")
    with copied_after(PROGRESS[0], {3: "run"}, "rare"):
        command(*flags("adam", "rare", f"--checkpoint_every={STEPS}"))
    assert len(metrics("run")) == 3
    assert not pathlib.Path("run/checkpoint.safetensors").exists()
    # The interval between checkpoints decides nothing about the picture.
    good(command, *flags("adam", "run", "--resume"))
    check_equal("run", whole)


def signal_after(monkeypatch, step: int, number: int = signal.SIGINT) -> None:
    """Press Ctrl-C, or send another signal, while this step is logged."""
    plain, steps = session.progress_text, itertools.count(1)

    def progress_text(info) -> str:
        if next(steps) == step:
            signal.raise_signal(number)
        return plain(info)

    monkeypatch.setattr(session, "progress_text", progress_text)


@pytest.mark.parametrize(
    ("number", "ending", "insist"),
    [
        (signal.SIGINT, 130, "; press Ctrl-C again to stop now"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_interrupted_run_saves_and_says_how_to_go_on(
    number, ending, insist, studio, command, uninterrupted, monkeypatch
):
    whole = uninterrupted("adam")
    signal_after(monkeypatch, 14, number)
    status, out, err = command(*flags("adam", "run"))
    assert status == ending
    # The line that answers comes from a thread of its own, and may be overtaken.
    says = (f"stopping after this step{insist}", "interrupted")
    assert err in [f"nstjax: {text}\n" for text in says]
    assert "the same command with --resume goes on from here" in out
    step = checkpoint_step("run")
    assert 14 <= step < STEPS
    assert f"wrote run/stylized.png after {step} steps" in out
    # Nothing that was done is lost: the checkpoint is of the last step in the log.
    assert [row["step"] for row in metrics("run")] == list(range(step))
    with h5py.File("run/run.h5") as file:
        picture = np.asarray(nstjax.deprocess(file["image"][()]))
    shown = nstjax.read_image("run/stylized.png")
    assert np.abs(shown - picture).max() <= 0.501 / 255
    good(command, *flags("adam", "run", "--resume"))
    check_snapshots("run")
    check_equal("run", whole)


def test_more_steps_go_on_like_a_longer_run(studio, command):
    for folder, steps in (("long", 12), ("run", 5)):
        assert command(*shortened(folder, f"--steps={steps}"))[0] == 0
    # A killed run may have left its last line unfinished.
    with open("run/metrics.jsonl", "a") as file:
        file.write('{"step": 6, "total": 1')
    good(command, *shortened("run", "--steps=12", "--resume"))
    assert [row["step"] for row in metrics("run")] == list(range(13))
    check_equal("run", "long")


def test_resuming_a_finished_run_only_rewrites_its_result(studio, command):
    assert command(*shortened("run", "--steps=5"))[0] == 0
    shutil.copytree("run", "before")
    pathlib.Path("run/stylized.png").unlink()
    flags = shortened("run", "--steps=5", "--resume", "--snapshots=0,2,3")
    _, _, err = command(*flags)
    assert err == "nstjax: note: no snapshot of step 2: the run has passed it\n"
    check_equal("run", "before")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("step", 9, "step 9, expected 0..5"), ("image", np.nan, "that is not finite")],
)
def test_a_checkpoint_of_no_such_run_is_refused(name, value, says, studio, command):
    assert command(*shortened("run", "--steps=5"))[0] == 0
    path = pathlib.Path("run/checkpoint.safetensors")
    leaves = safetensors.numpy.load_file(path)
    del leaves[SCALE]
    write_checkpoint(path, leaves | {name: np.full_like(leaves[name], value)})
    check_bad(command, *shortened("run", "--steps=5", "--resume"), says=says)


def test_best_image_survives_a_resume(studio, command):
    # At this rate Adam overshoots at once: the best image comes before the resume.
    wild = ("--learning_rate=2000", "--keep=best")
    assert command(*shortened("long", *wild, "--steps=12"))[0] == 0
    assert np.argmin([row["total"] for row in metrics("long")]) < 5
    assert command(*shortened("last", *wild, "--steps=12", "--keep=last"))[0] == 0
    best = pathlib.Path("long/stylized.png").read_bytes()
    assert pathlib.Path("last/stylized.png").read_bytes() != best
    # The last image may be the best.
    assert result(command, *PLAIN, "--steps=3", "--keep=best") == result(
        command, *PLAIN, "--steps=3"
    )
    assert command(*shortened("run", *wild, "--steps=5"))[0] == 0
    assert command(*shortened("run", *wild, "--steps=12", "--resume"))[0] == 0
    check_equal("run", "long")


def test_interrupt_without_workdir_writes_the_picture_so_far(
    studio, command, monkeypatch
):
    pictures = []
    # The second time it comes at the last step.
    for steps in (50, 4):
        with monkeypatch.context() as patched:
            signal_after(patched, 4)
            status, out, err = command(*PLAIN, f"--steps={steps}")
        assert status == 130
        # The line that answers comes from a thread of its own, and may be overtaken.
        assert "stopping after this step" in err or err == "nstjax: interrupted\n"
        assert "wrote out.png after 4 steps" in out
        assert ("a run with --workdir=DIR can be resumed" in out) == (steps == 50)
        pictures.append(pathlib.Path("out.png").read_bytes())
        assert not list(studio.glob("*nstjax*"))
    good(command, *PLAIN, "--steps=4")
    assert pictures == [pathlib.Path("out.png").read_bytes()] * 2


def test_interrupt_before_the_first_step_writes_nothing(studio):
    before = sorted(studio.iterdir())
    body = """
        assert os.path.exists('run/.nstjax-lock')
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)
    """
    flags = (*PLAIN, "--snapshots=0", "--workdir=run")
    status, out, err = run_patched("run", body, *flags)
    assert (status, err) == (130, "nstjax: interrupted\n")
    assert "wrote" not in out
    assert sorted(studio.iterdir()) == before


def test_second_interrupt_stops_at_once(studio):
    before = sorted(studio.iterdir())
    body = """
        signal.raise_signal(signal.SIGINT)
        while not interrupts._signals.answered: time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)
    """
    status, out, err = run_patched("progress_text", body, *PLAIN, "--steps=50")
    insist = "stopping after this step; press Ctrl-C again to stop now"
    assert (status, err) == (130, f"nstjax: {insist}\nnstjax: interrupted\n")
    assert "wrote" not in out
    assert sorted(studio.iterdir()) == before


def test_steps_without_end_take_no_memory(studio):
    body = """
        status = open('/proc/self/status').read()
        peak = int(status.partition('VmHWM:')[2].split()[0])
        print(peak // 1000, 'MB', file=sys.stderr, flush=True)
        signal.raise_signal(signal.SIGTERM)
        return ''
    """
    status, _, err = run_patched("progress_text", body, *PLAIN, "--steps=100000000")
    assert status == 143
    # A list of them would take 800 MB.
    assert int(err.split()[0]) < 800
