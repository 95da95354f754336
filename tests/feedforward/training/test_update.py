"""Training steps of feed-forward networks."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from feedforward_networks import plain_loss, random_network, run
from feedforward_trainings import (
    LOSS,
    NO_WEIGHT,
    assert_equal,
    changed,
    leaves,
    make_batch,
    make_objective,
    narrow,
)
from flax import nnx

from nstjax.errors import InputError
from nstjax.feedforward.networks.normalization import StyleTable
from nstjax.feedforward.networks.style_rows import network_for_new_style
from nstjax.feedforward.training.objective import Batch, Objective, make_loss
from nstjax.feedforward.training.setup import learning_rates
from nstjax.feedforward.training.update import (
    MOST_NONFINITE,
    check_finite,
    make_training,
    picture_shardings,
)
from nstjax.problem.problem import make_weights

RATE = 0.03


@functools.cache
def plain():
    """The objective of a plain loss."""
    return Objective({}, make_weights(LOSS), {}, np.ones(1), jax.random.key(0))


@functools.cache
def of_two_styles():
    """Network and training, compiled once for several tests."""
    network = random_network(narrow("conditional"))
    return network, make_training(network, make_loss(LOSS), optax.adam(RATE))


@functools.cache
def with_batch_norm():
    network = random_network(narrow("batch"))
    return network, make_training(network, plain_loss, optax.sgd(10.0))


def test_training_halves_the_loss_and_compiles_once():
    network, training = of_two_styles()
    before = leaves(nnx.state(network))
    state, objective = training.init(network, None), make_objective(2)
    expected, terms, _ = training.evaluate(state, make_batch(0, styles=2), objective)
    losses = []
    for step in range(18):
        batch = make_batch(step % 3, styles=2)
        state, info = training.step(state, batch, objective, NO_WEIGHT)
        losses.append(float(info.loss))
        if step == 0:
            # Of the network as it was, which instance normalization evaluates alike.
            np.testing.assert_allclose(info.loss, expected, rtol=1e-5)
            np.testing.assert_allclose(info.terms.style, terms.style, rtol=1e-5)
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    assert training.step._cache_size() == 1
    assert int(state.step) == 18
    # The network that it started from is as it was, and not donated.
    assert_equal(leaves(nnx.state(network)), before)
    photos, shares = make_batch(0).content, jnp.eye(2)[jnp.array([0, 1, 0, 1])]
    output = run(training.network(state), photos, shares)
    _, _, evaluated = training.evaluate(state, make_batch(0, styles=2), objective)
    np.testing.assert_allclose(output, evaluated, atol=1e-5)


def test_batch_statistics_move_in_training_only():
    network, training = with_batch_norm()
    state, batch = training.init(network, None), make_batch(0)
    before, trained = leaves(state.rest), leaves(state.trained)
    assert len(before) == 2 * 5
    training.evaluate(state, batch, plain())
    assert_equal(leaves(state.rest), before)
    state, info = training.step(state, batch, plain(), NO_WEIGHT)
    assert all(changed(leaves(state.rest), before))
    # Plain descent moves by the gradient.
    gradient = [
        (one - other) / 10.0
        for one, other in zip(trained, leaves(state.trained), strict=True)
    ]
    norm = np.sqrt(sum(np.square(part).sum() for part in gradient))
    np.testing.assert_allclose(info.gradient_norm, norm, rtol=1e-2)


def test_evaluation_takes_every_picture_and_step_alike():
    network, training = with_batch_norm()
    state, batch = training.init(network, None), make_batch(0)
    alone = Batch(jnp.repeat(batch.content[:1], 4, 0), batch.style)
    (first, _, together), (_, _, by_itself), (later, _, _) = (
        training.evaluate(state._replace(step=jnp.int32(step)), one, plain())
        for step, one in ((0, batch), (0, alone), (7, batch))
    )
    np.testing.assert_allclose(together[0], by_itself[0], atol=1e-6)
    # The same numbers are drawn.
    assert first == later


def test_learning_rate_decays():
    rates = learning_rates(2e-3, 0.5)
    found = [float(rates(jnp.int32(step))) for step in (0, 1, 2, 98)]
    assert found == pytest.approx([2e-3, 2e-3 / 1.5, 1e-3, 2e-3 / 50], rel=1e-6)


def test_updates_that_are_not_finite_are_left_out_and_ten_end_the_training():
    network, training = with_batch_norm()
    state, good = training.init(network, None), make_batch(1)
    broken = good._replace(content=good.content.at[2, 3, 4, 0].set(jnp.nan))
    state, _ = training.step(state, good, plain(), NO_WEIGHT)
    before = leaves((state.trained, state.rest))
    for count in range(1, MOST_NONFINITE):
        state, info = training.step(state, broken, plain(), NO_WEIGHT)
        assert_equal(leaves((state.trained, state.rest)), before)
        assert int(info.nonfinite) == count
        assert np.isnan(info.loss)
        check_finite(info, count)
    state, info = training.step(state, good, plain(), NO_WEIGHT)
    assert (int(info.nonfinite), int(state.step)) == (0, MOST_NONFINITE + 1)
    after = leaves((state.trained, state.rest))
    assert any(changed(after, before))
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))
    for _ in range(MOST_NONFINITE):
        state, info = training.step(state, broken, plain(), NO_WEIGHT)
    assert_equal(leaves((state.trained, state.rest)), after)
    with pytest.raises(InputError, match="not finite 10 times in a row, up to step 77"):
        check_finite(info, 77)


def test_a_new_style_trains_its_rows_and_nothing_else():
    new = network_for_new_style(of_two_styles()[0])
    training = make_training(new, plain_loss, optax.adam(RATE), trained=StyleTable)
    state = training.init(new, None)
    tables, rest = leaves(state.trained), leaves(state.rest)
    assert len(tables) == 2 * 5
    state, _ = training.step(state, make_batch(0), plain(), NO_WEIGHT)
    assert_equal(leaves(state.rest), rest)
    assert all(changed(leaves(state.trained), tables))


def three_steps(normalization, batch_sharding, other_sharding):
    styles = 2 if normalization == "conditional" else 1
    network = random_network(narrow(normalization))
    # Adam's first steps enlarge the rounding of gradients that are nearly 0.
    training = make_training(network, make_loss(LOSS), optax.sgd(1e-6))
    state, objective = jax.device_put(
        (training.init(network, None), make_objective(styles)), other_sharding
    )
    for step in range(3):
        batch = jax.device_put(make_batch(step, styles=styles), batch_sharding)
        state, info = training.step(state, batch, objective, NO_WEIGHT)
    return [*leaves((state.trained, state.rest)), np.array(info.loss)]


SHARDED = """
import sys
sys.path[:0] = {folders!r}
import jax, numpy as np
jax.config.update("jax_numpy_rank_promotion", "raise")
from test_update import picture_shardings, make_batch, three_steps
for count, devices in ((4, 4), (6, 2), (5, 1), (8, 4)):
    by_picture, everywhere = picture_shardings(count)
    content = jax.device_put(make_batch(0, count), by_picture).content
    assert len(content.sharding.device_set) == devices, count
    shards = [shard.data.shape[0] for shard in content.addressable_shards]
    assert shards == [count // devices] * devices, shards
    assert len(everywhere.device_set) == devices
for name in ("conditional", "batch"):
    np.savez({folder!r} + "/" + name, *three_steps(name, *picture_shardings(4)))
"""


def test_processes_whose_devices_do_not_divide_a_batch_are_told(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="give a --batch_size that 4 divides"):
        picture_shardings(6)


@pytest.mark.slow
def test_several_devices_train_the_same_network(tmp_path):
    room = pathlib.Path(__file__).parent
    folders = [str(room), str(room.parents[1])]
    subprocess.run(
        [sys.executable, "-c", SHARDED.format(folders=folders, folder=str(tmp_path))],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4"},
        check=True,
    )
    for name in ("conditional", "batch"):
        alone = three_steps(name, *picture_shardings(4))
        with np.load(tmp_path / f"{name}.npz") as file:
            for one, other in zip(file.values(), alone, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_model_is_the_moving_average_of_the_weights():
    network = random_network(narrow("instance"))
    optimizer, decay = optax.sgd(0.1), 0.3
    training = make_training(network, plain_loss, optimizer, average_decay=decay)
    state = training.init(network, None)
    expected = leaves(state.trained)
    for count in range(4):
        state, _ = training.step(state, make_batch(count), plain(), NO_WEIGHT)
        share = min(decay, (1 + count) / (10 + count))
        expected = [
            share * old + (1 - share) * new
            for old, new in zip(expected, leaves(state.trained), strict=True)
        ]
    shown = training.network(state)
    for found, one in zip(leaves(nnx.state(shown)), expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-7)
    assert any(changed(leaves(nnx.state(shown)), leaves(state.trained)))
    _, _, output = training.evaluate(state, make_batch(9), plain())
    styles = np.ones((4, 1), np.float32)
    np.testing.assert_allclose(
        output, run(shown, make_batch(9).content, styles), rtol=1e-4, atol=1e-6
    )
