"""The launcher of feed-forward trainings, on narrow networks."""

import contextlib
import shutil

import jax
import numpy as np
import pytest
from command_lines import listing, metrics, settings
from PIL import Image
from training_gallery import (
    ADVERSARIAL,
    SHALLOW,
    TRAIN,
    held_out_photos,
    one_training,
)

from nstjax.feedforward.networks.model_file import network_tensors, read_model
from nstjax.feedforward.training import run as training_run
from nstjax.feedforward.training.run import MODEL
from nstjax.io import run_log as runlog

# Two styles and a discriminator: all that a state can hold.
WHOLE = (
    *ADVERSARIAL,
    "--log_every=3",
    "--checkpoint_every=5",
    "--sample_every=4",
    "--steps=12",
    # So that few steps show that each loss falls.
    "--learning_rate=0.012",
    f'{SHALLOW[:-1]}, "beta": 0.1}}',
)


@jax.jit
def restyled(network, photos):
    """In the first of two styles."""
    return network(photos, np.eye(2, dtype=np.float32)[[0] * len(photos)])


def checkpoints(folder):
    return sorted(int(path.stem) for path in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="module", autouse=True)
def compiled():
    with one_training():
        yield


@pytest.fixture(scope="module")
def whole(gallery, train):
    """A training that nobody interrupted, and a copy of its folder on the way."""
    append = runlog.append_metrics

    def append_and_copy(folder, rows):
        append(folder, rows)
        # What a kill would leave: the log has a row more than the last checkpoint.
        if rows[-1]["step"] == 6:
            shutil.copytree(gallery / "whole" / "run", gallery / "killed" / "run")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runlog, "append_metrics", append_and_copy)
        return train("whole", *WHOLE)


def test_training_leaves_a_model_and_its_log(whole):
    work, err = whole
    assert err.count("note: skipped: ") == 1
    assert "photos/5.png is not a picture" in err
    model = read_model(work / MODEL)
    assert (model.styles, model.encoder) == (("a", "b"), None)
    assert model.network.architecture.channels == (4, 4, 4)
    assert all(row["flicker"] > 0 for row in metrics(work) if "flicker" in row)
    assert "flicker" in metrics(work)[0]
    gamma = network_tensors(model.network)["contract/0/norm/gamma"]
    assert (gamma[0] != gamma[1]).any()
    assert model.card["settings"] == {**settings(work), "steps": 12}
    assert model.card["styles"] == {}
    assert model.card["command"].startswith(
        "python -m experiments.train_feedforward --photos=../photos "
    )
    assert settings(work)["held_out"] == ["0.png", "3.png"]
    assert settings(work)["photos"] == 5
    samples = {path.name for path in (work / "samples").iterdir()}
    assert samples == {"000004.png", "000008.png", "000012.png"}
    # Two photos that are held out, and what becomes of them in two styles.
    with Image.open(work / "samples" / "000012.png") as sheet:
        assert sheet.width > 3 * 16
        assert sheet.height > 2 * 16
    assert checkpoints(work) == [10, 12]


def test_every_loss_is_logged_and_falls(whole):
    rows = metrics(whole[0])
    logged = [3, 6, 9, 12]
    assert [row["step"] for row in rows] == [3, 4, 6, 8, 9, 12]
    trained = {row["step"]: row for row in rows if "total" in row}
    assert list(trained) == logged
    for name in ("total", "style", "discriminator"):
        assert trained[12][name] < 0.8 * trained[3][name], name
    assert all(np.isfinite(row["generator"]) for row in trained.values())
    validation = {row["step"]: row["validation"] for row in rows if "validation" in row}
    assert list(validation) == [4, 8, 12]
    for style in ("a", "b"):
        assert validation[12][style]["style"] < validation[4][style]["style"]
    assert rows[-1]["skipped"] == 1
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_the_validation_loss_is_that_of_the_model(whole, gallery):
    work, _ = whole
    network = read_model(work / MODEL).network
    output = 255 * np.float64(restyled(network, held_out_photos(gallery)))
    down = np.diff(output, axis=1)[:, :, :-1]
    across = np.diff(output, axis=2)[:, :-1]
    squares = np.square(down) + np.square(across)
    found = metrics(work)[-1]["validation"]["a"]
    np.testing.assert_allclose(found["tv"], squares.sum() / 2 / len(output), rtol=1e-4)
    cells = output.reshape(len(output), 4, 4, 4, 4, 3).mean((1, 3))
    np.testing.assert_allclose(found["grid"], cells.var((1, 2)).mean(), rtol=1e-4)


@pytest.fixture(scope="module")
def killed(whole, gallery, program, train):
    """The same training, killed, interrupted, and resumed after both.

    It was to have fewer steps when it was interrupted.
    """
    folder = gallery / "killed"
    assert not (folder / "run" / MODEL).exists()
    assert [row["step"] for row in metrics(folder / "run")] == [3, 4, 6]
    assert checkpoints(folder / "run") == [5]
    # In the middle between two checkpoints and two lines of the log.
    asked = iter([False, True])
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.chdir(folder),
    ):
        patched.setattr(training_run, "requested", lambda: next(asked))
        status, out, _ = program(TRAIN, *WHOLE, "--steps=11")
    assert status == 130
    assert out.startswith("train_feedforward: interrupted; the same command again")
    assert not (folder / "run" / MODEL).exists()
    assert checkpoints(folder / "run") == [5, 7]
    work, _ = train("killed", *WHOLE)
    return work


def test_a_killed_and_interrupted_training_goes_on_bit_for_bit(whole, killed):
    work, _ = whole
    before, after = listing(work), listing(killed)
    samples = [name for name in before if name.startswith("samples/")]
    for name in (MODEL, "config.json", *samples):
        # The card has the command, which is the same.
        assert after[name] == before[name], name
    rows, expected = metrics(killed), metrics(work)
    seconds = [row.pop("seconds") for row in rows]
    assert seconds == sorted(seconds)
    for row in expected:
        del row["seconds"]
    assert rows == expected


def test_the_model_is_written_anew_as_asked(killed, whole, gallery, train):
    """There is nothing left to train, but how it is written may differ."""
    again = shutil.copytree(killed, gallery / "again" / "run")
    titles = ("--title=b=Bay, at night", "--title=a=A = B")
    train("again", *WHOLE, "--half_precision", *titles, "--license=CC0-1.0")
    assert metrics(again) == metrics(killed)
    half, full = (read_model(each / MODEL) for each in (again, whole[0]))
    assert half.card["styles"] == {"a": "A = B", "b": "Bay, at night"}
    assert half.card["license"] == "CC0-1.0"
    found = network_tensors(half.network)
    for name, tensor in network_tensors(full.network).items():
        if "/norm/" not in name:
            tensor = np.float32(np.float16(tensor))
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)
    assert (again / MODEL).stat().st_size < (whole[0] / MODEL).stat().st_size
