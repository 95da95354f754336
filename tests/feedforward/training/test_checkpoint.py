"""Checkpoints of trainings: whole, exact, or one line of why not."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from command_lines import flip, truncate
from feedforward_networks import random_network

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.training.adversary import make_adversary
from nstjax.feedforward.training.checkpoint import open_checkpoints
from nstjax.feedforward.training.objective import make_loss
from nstjax.feedforward.training.presets import JOHNSON
from nstjax.feedforward.training.update import TrainingState, make_training

RECORD = {
    "batches": {"position": {"next": 12, "seed": 2**32 - 1}, "skipped": ["ä.png"]},
    "rows": [{"total": 0.1 + 0.2}],
    "seconds": 1.25,
}


def make_state(channels=(3, 4, 5), adversarial=True, seed=0) -> TrainingState:
    """Of batch normalization and a discriminator; no two numbers are the same."""
    network = random_network(
        TransformArchitecture(
            channels=channels, residual_blocks=0, normalization="batch"
        )
    )

    def begin():
        discrimination = adversary = None
        if adversarial:
            params = jax.tree.map(np.float32, reference.random_params(blocks=1))
            discrimination, adversary = make_adversary(
                params, JOHNSON.loss, "relu1_1", jnp.ones((1, 16, 16, 3)), 1, 0.1, 0
            )
        training = make_training(
            network,
            make_loss(JOHNSON.loss),
            optax.adam(1e-3),
            discriminator=discrimination,
        )
        return training.init(network, adversary)

    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(
            (1000 * random.normal(size=leaf.shape)).astype(leaf.dtype)
        ),
        jax.eval_shape(begin),
    )


@pytest.fixture(scope="module")
def state():
    return make_state()


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        assert one.sharding == other.sharding
        np.testing.assert_array_equal(one, other)


def test_a_state_comes_back_bit_for_bit(state, tmp_path):
    assert len(jax.tree.leaves(state.rest)) == 2 * 5
    folder = tmp_path / "new" / "checkpoints"
    assert open_checkpoints(folder).restore(state) is None
    open_checkpoints(folder).save(7, state, RECORD)
    like = make_state(seed=1)
    found, record = open_checkpoints(folder).restore(like)
    assert_same(found, state)
    assert record == RECORD


def test_the_last_two_are_kept_and_the_last_is_restored(tmp_path):
    checkpoints = open_checkpoints(tmp_path)
    for step in (2, 4, 6, 8):
        checkpoints.save(step, {"step": jnp.int32(step)}, {"of": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["6", "8"]
    found, record = open_checkpoints(tmp_path).restore({"step": jnp.int32(0)})
    assert int(found["step"]) == record["of"] == 8


def test_a_checkpoint_that_was_not_finished_does_not_count(tmp_path):
    checkpoints = open_checkpoints(tmp_path)
    for step in (2, 4):
        checkpoints.save(step, {"step": jnp.int32(step)}, {})
    # As orbax calls it until it is whole.
    (tmp_path / "4").rename(tmp_path / "4.orbax-checkpoint-tmp")
    again = open_checkpoints(tmp_path)
    found, _ = again.restore({"step": jnp.int32(0)})
    assert int(found["step"]) == 2
    again.save(4, {"step": jnp.int32(5)}, {})
    found, _ = open_checkpoints(tmp_path).restore({"step": jnp.int32(0)})
    assert int(found["step"]) == 5


def assert_refused(folder, like):
    with pytest.raises(InputError) as raised:
        open_checkpoints(folder).restore(like)
    message = str(raised.value)
    assert f"checkpoint {folder / '3'} does not fit this network or is " in message
    assert message.endswith("): start again in an empty --workdir")
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize("other", ["wider", "without discriminator", "with"])
def test_another_network_is_told(state, tmp_path, other):
    smaller = make_state(adversarial=False)
    states = {
        "wider": (state, make_state(channels=(3, 4, 6))),
        "without discriminator": (state, smaller),
        "with": (smaller, state),
    }
    saved, like = states[other]
    open_checkpoints(tmp_path).save(3, saved, RECORD)
    assert_refused(tmp_path, like)


@pytest.mark.parametrize(
    "damage",
    ["cut short", "flipped", "no record", "record", "no arrays", "link", "pipe"],
)
def test_damage_is_told(tmp_path, damage):
    state = {"step": jnp.int32(3), "kernel": jnp.linspace(0, 1, 500)}
    open_checkpoints(tmp_path).save(3, state, RECORD)
    record = tmp_path / "3" / "record" / "metadata"
    arrays = [path for path in (tmp_path / "3").rglob("d/*") if path.is_file()]
    if damage == "cut short":
        for path in arrays:
            truncate(path)
    elif damage == "flipped":
        for path in arrays:
            flip(path, path.stat().st_size // 2)
    elif damage == "no record":
        record.unlink()
    elif damage == "record":
        record.write_text('{"seconds": ')
    elif damage == "link":
        record.rename(tmp_path / "moved")
        record.symlink_to(tmp_path / "moved")
    elif damage == "pipe":
        record.unlink()
        os.mkfifo(record)
    else:
        for path in arrays:
            path.unlink()
    assert_refused(tmp_path, state)
