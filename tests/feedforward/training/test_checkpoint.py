"""Checkpoints of trainings: whole, exact, or one line of why not."""

import types

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import optax
import pytest
import reference
from feedforward_networks import random_network
from feedforward_trainings import assert_equal, narrow

from nstjax.errors import InputError
from nstjax.feedforward.training import run as training_run
from nstjax.feedforward.training.adversary import make_adversary
from nstjax.feedforward.training.checkpoint import (
    Progress,
    last_checkpoint,
    save_checkpoint,
)
from nstjax.feedforward.training.objective import make_loss
from nstjax.feedforward.training.presets import JOHNSON
from nstjax.feedforward.training.update import TrainingState, make_training

PROGRESS = Progress(
    rows=[{"total": 0.1 + 0.2}],
    seconds=1.25,
    batches={"position": {"next": 12, "seed": 2**32 - 1}, "skipped": ["ä.png"]},
)


def make_state(channels=(3, 4, 5), adversarial=True, seed=0) -> TrainingState:
    """Of batch normalization and a discriminator; no two numbers are the same."""
    network = random_network(narrow("batch", channels=channels))

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


def test_a_state_comes_back_bit_for_bit(state, tmp_path):
    assert len(jax.tree.leaves(state.rest)) == 2 * 5
    folder = tmp_path / "checkpoints"
    assert last_checkpoint(folder, state) is None
    save_checkpoint(folder, 7, state, PROGRESS)
    found, progress = last_checkpoint(folder, make_state(seed=1))
    kept = [
        jax.tree.map(lambda leaf: (leaf.dtype, leaf.sharding), each)
        for each in (found, state)
    ]
    assert kept[0] == kept[1]
    assert_equal(*map(jax.tree.leaves, (found, state)))
    assert progress == PROGRESS


def test_the_last_two_are_kept_and_the_last_is_restored(tmp_path):
    (tmp_path / "notes.safetensors").touch()
    for step in (2, 4, 999_999, 1_000_000):
        save_checkpoint(tmp_path, step, {"step": jnp.int32(step)}, PROGRESS)
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {"notes", "999999", "1000000"}
    found, _ = last_checkpoint(tmp_path, {"step": jnp.int32(0)})
    assert int(found["step"]) == 1_000_000


def test_checkpoints_of_an_older_version_are_refused(tmp_path):
    (tmp_path / "200" / "state").mkdir(parents=True)
    with pytest.raises(InputError, match=r"another version .* another --workdir$"):
        last_checkpoint(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["200"]


def test_a_step_or_rows_that_no_training_has_are_refused(tmp_path):
    request = types.SimpleNamespace(folder=tmp_path, adversarial_weight=0.0)
    for step, rows in ((-1, []), (3, PROGRESS.rows)):
        state = TrainingState({}, {}, {}, None, jnp.int32(step))
        progress = msgspec.structs.replace(PROGRESS, rows=rows)
        save_checkpoint(tmp_path / "checkpoints", 3, state, progress)
        with pytest.raises(InputError, match=r"damaged \(its step or rows\): start"):
            training_run._begin(request, None, state)


@pytest.mark.parametrize("other", ["wider", "without discriminator", "seconds"])
def test_another_training_is_told(state, tmp_path, other):
    like = state
    if other != "seconds":
        wider = other == "wider"
        like = make_state((3, 4, 6) if wider else (3, 4, 5), adversarial=wider)
    wrong = msgspec.structs.replace(PROGRESS, seconds="1")
    save_checkpoint(tmp_path, 3, state, wrong if other == "seconds" else PROGRESS)
    words = r"000003\.safetensors is damaged.*: start again in an empty --workdir$"
    with pytest.raises(InputError, match=words):
        last_checkpoint(tmp_path, like)
