"""Log, snapshots and checkpoints on disk, and files that appear whole or not at all."""

import errno
import functools
import io
import json
import os
import tracemalloc

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.errors import InputError
from nstjax.io import config as config_file
from nstjax.io import run_log as runlog
from nstjax.io.checkpoint import read_checkpoint, write_checkpoint
from nstjax.losses.terms import LossTerms
from nstjax.optimization.optimizers import make_optimizer, with_learning_rate
from nstjax.optimization.transfer import TransferInfo, style_transfer

LAYERS = {"content_layers": ("relu4_2",), "style_layers": ("conv1_1", "relu5_1")}


def info(steps):
    """Losses that differ from step to step and from term to term."""
    numbers = iter(range(100))

    def column():
        return np.float32(1 / 3) + np.arange(steps, dtype=np.float32) + next(numbers)

    # The layers come in another order than the network's.
    by_layer = {
        group: {layer: column() for layer in reversed(layers)}
        for group, layers in LAYERS.items()
    }
    terms = LossTerms(content=column(), style=column(), tv=column(), **by_layer)
    return TransferInfo(loss=column(), terms=terms, gradient_norm=column())


def test_metrics_rows_hold_every_loss_of_every_step():
    losses = info(3)
    rows = runlog.metrics_rows(losses, 5, 1.23456)
    assert len(rows) == 3
    for i, row in enumerate(rows):
        values = jax.tree.map(lambda column: column[i], losses)  # noqa: B023
        assert row == {
            "step": 5 + i,
            "total": values.loss,
            "gradient_norm": values.gradient_norm,
            "seconds": 1.235,
            **values.terms._asdict(),
        }
        for group, layers in LAYERS.items():
            assert tuple(row[group]) == layers
        # float32 values survive the way through JSON.
        assert json.loads(json.dumps(row)) == row


def test_restart_drops_the_rows_from_a_step_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert runlog.restart_metrics(tmp_path, 0) == []
    assert path.read_text() == ""
    rows = runlog.metrics_rows(info(6), 0, 1.0)
    runlog.append_metrics(tmp_path, rows[:4])
    runlog.append_metrics(tmp_path, rows[4:])
    lines = path.read_text().splitlines(keepends=True)
    assert runlog.restart_metrics(tmp_path, 4) == rows[:4]
    assert path.read_text() == "".join(lines[:4])
    # A last line that was only half written is dropped, too.
    for kept in (1, 30, -2):
        path.write_text("".join(lines[:2]) + lines[2][:kept])
        assert runlog.restart_metrics(tmp_path, 99) == rows[:2]
        assert path.read_text() == "".join(lines[:2])
    # What follows is as if the rows had never been there.
    runlog.append_metrics(tmp_path, rows[2:])
    assert runlog.restart_metrics(tmp_path, 99) == rows


@pytest.mark.parametrize(
    "text",
    ["\n" * 2**21 + "\N{ARTIST PALETTE}", f"[{'{},' * 2**19}{{}}]\n"],
    ids=["many lines", "a long line"],
)
def test_a_damaged_log_takes_no_memory(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text, encoding="utf-8")
    tracemalloc.start()
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 1, is damaged"):
        runlog.read_metrics(tmp_path, 99)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The longer of its lines, as it grows.
    assert peak < 2**22


def test_config_comes_back(tmp_path):
    config = {"settings": {"beta": 1e5, "layers": ["relu1_1"]}, "weights": "straße"}
    config_file.write_config(tmp_path, config)
    assert config_file.read_config(tmp_path) == config
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        config_file.read_config(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match="holds no run"):
        config_file.read_config(tmp_path)


def pictures(count):
    return np.random.default_rng(count).normal(size=(count, 4, 6, 3)).astype("float32")


def test_run_file_comes_back(tmp_path):
    rows = runlog.metrics_rows(info(4), 0, 2.5)
    first, second, last = pictures(3)
    config = {"settings": {"beta": 3}}
    # In no order: the file sorts them.
    runlog.write_run(tmp_path, config, rows, {3: second, 0: first}, last, 4)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file.attrs["schema"] == "nstjax.run/3"
        assert list(file["snapshots"]) == ["000000", "000003"]
        for name in ("step", *runlog.SCALARS):
            assert file[f"log/{name}"].dtype == (np.int64 if name == "step" else "f8")
            assert file[f"log/{name}"][()].tolist() == [row[name] for row in rows]
        for group, layers in LAYERS.items():
            assert tuple(file[f"log/{group}"].attrs["layers"]) == layers
            table = [[row[group][layer] for layer in layers] for row in rows]
            assert file[f"log/{group}"][()].tolist() == table
    logged = runlog.read_run(tmp_path)
    assert (logged.config, logged.steps) == (config, 4)
    np.testing.assert_array_equal(logged.image, last)
    found = runlog.read_snapshots(tmp_path, 3)
    assert list(found) == [0, 3]
    np.testing.assert_array_equal([found[0], found[3]], [first, second])
    # A checkpoint may be older than the file beside it.
    assert list(runlog.read_snapshots(tmp_path, 2)) == [0]
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file.move("snapshots/000003", "snapshots/third")
    with pytest.raises(InputError, match="snapshots/third: expected a step"):
        runlog.read_run(tmp_path)


def test_run_file_without_rows_or_snapshots(tmp_path):
    assert runlog.read_snapshots(tmp_path, 5) == {}
    runlog.write_run(tmp_path, {}, [], {}, pictures(1)[0], 0)
    assert runlog.read_snapshots(tmp_path, 5) == {}
    assert runlog.read_run(tmp_path).log["step"].size == 0
    with pytest.raises(InputError, match=r"holds no run\.h5: give the --workdir of"):
        runlog.read_run(tmp_path / "nowhere")


# --- checkpoints ----------------------------------------------------------------------


def state_of(optimizer, steps=3, height=4):
    """A state some steps into the minimization of a bowl."""

    def loss_fn(image):
        loss = jnp.square(image - 3.0).sum()
        return loss, LossTerms(loss, loss, loss, {}, {})

    transfer = style_transfer(loss_fn, make_optimizer(optimizer))
    image = np.random.default_rng(0).normal(size=(height, 6, 3)).astype("float32")
    state = transfer.init(image)
    state = state._replace(opt_state=with_learning_rate(state.opt_state, 0.25))
    step = jax.jit(transfer.step)
    for _ in range(steps):
        state, _ = step(state)
    return state


# Before the first evaluation best_loss is inf.
@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [("adam", 3), ("adam", 0), ("lbfgs", 3), ("lbfgs-linesearch", 3)],
)
def test_checkpoint_comes_back_bit_equal(tmp_path, optimizer, steps):
    state = state_of(optimizer, steps)
    write_checkpoint(tmp_path / "c.safetensors", state)
    found = read_checkpoint(tmp_path / "c.safetensors", state_of(optimizer, 0))
    same = functools.partial(np.testing.assert_array_equal, strict=True)
    jax.tree.map(same, found, state)
    assert int(found.step) == steps
    assert found.opt_state.hyperparams["learning_rate"] == 0.25
    write_checkpoint(tmp_path / "again.safetensors", found)
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "c.safetensors").read_bytes()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    state, path = state_of("adam"), tmp_path / "c.safetensors"
    write_checkpoint(path, state)
    contents = path.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.999):
        path.write_bytes(contents[: int(share * len(contents))])
        with pytest.raises(InputError, match="not readable"):
            read_checkpoint(path, state)
    for position in range(0, len(contents), max(1, len(contents) // 150)):
        flipped = bytearray(contents)
        flipped[position] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"c\.safetensors"):
            read_checkpoint(path, state)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, state_of("adam"))
    for other in (state_of("adam", height=5), state_of("lbfgs")):
        with pytest.raises(InputError, match="another run's"):
            read_checkpoint(path, other)
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere.safetensors", state_of("adam", 0))


# --- whole or not at all --------------------------------------------------------------


def test_failing_writes_keep_the_old_files(tmp_path, monkeypatch):
    names = ("config.json", "run.h5", "c.safetensors", "metrics.jsonl")
    for name in names:
        (tmp_path / name).write_text("")
    monkeypatch.delattr(os, "replace")
    for write in (
        lambda: config_file.write_config(tmp_path, {}),
        lambda: runlog.write_run(tmp_path, {}, [], {}, pictures(1)[0], 0),
        lambda: write_checkpoint(tmp_path / "c.safetensors", {}),
        lambda: runlog.restart_metrics(tmp_path, 1),
    ):
        with pytest.raises(AttributeError):
            write()
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    assert not any(path.read_text() for path in tmp_path.iterdir())


def test_rows_that_find_no_room_leave_no_part_of_a_line(tmp_path, monkeypatch):
    rows = [{"step": step, "seconds": 0.5} for step in range(2)]
    runlog.append_metrics(tmp_path, rows[:1])

    class FullFile(io.FileIO):
        def __init__(self, path, mode, buffering):
            super().__init__(path, mode.replace("b", ""))

        def write(self, lines):
            if len(lines) < 10:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(lines[:7])

    monkeypatch.setattr(runlog, "open", FullFile, raising=False)
    with pytest.raises(OSError, match="No space left"):
        runlog.append_metrics(tmp_path, rows[1:])
    monkeypatch.undo()
    assert runlog.read_metrics(tmp_path, 9, runlog.LoggedStep) == rows[:1]
    runlog.append_metrics(tmp_path, rows[1:])
    assert runlog.read_metrics(tmp_path, 9, runlog.LoggedStep) == rows
