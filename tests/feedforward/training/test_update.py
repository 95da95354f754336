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
import reference
from feedforward_networks import plain_loss, random_network
from flax import nnx

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.training.objective import (
    Batch,
    Objective,
    make_loss,
    stacked_styles,
)
from nstjax.feedforward.training.presets import JOHNSON
from nstjax.feedforward.training.setup import learning_rates
from nstjax.feedforward.training.update import (
    MOST_NONFINITE,
    batch_shardings,
    check_finite,
    make_training,
)
from nstjax.presets.settings import new_preset
from nstjax.problem.problem import make_weights

PARAMS = jax.tree.map(np.float32, reference.random_params())
LOSS = new_preset(
    "test",
    content_layers=("relu1_2",),
    style_layers=("relu1_1", "relu1_2"),
    style_layer_weights=(1.0, 1.0),
    gram_normalization="chw",
    alpha=0.01,
    beta=10.0,
)
RATE = 0.03
NO_WEIGHT = jnp.float32(0)


def architecture(normalization):
    return TransformArchitecture(
        channels=(3, 4, 5),
        residual_blocks=0,
        normalization=normalization,
        styles=2 if normalization == "conditional" else 1,
        # Before instance normalization it has no gradient, but for rounding.
        bias=normalization == "batch",
        pixels="0..1",
        output="sigmoid",
    )


def make_batch(seed, count=4, styles=1):
    photos = np.random.default_rng(seed).random((count, 16, 16, 3), np.float32)
    return Batch(jnp.asarray(photos), jnp.arange(count, dtype=jnp.int32) % styles)


@functools.cache
def make_objective(styles=1):
    paintings = np.random.default_rng(9).random((2, 16, 16, 3), np.float32) ** 3
    return Objective(
        PARAMS,
        make_weights(LOSS),
        stacked_styles(PARAMS, LOSS, paintings[:styles]),
        jnp.ones(styles),
        jax.random.key(0),
    )


@functools.cache
def plain():
    """The objective of a plain loss."""
    return Objective({}, make_weights(LOSS), {}, np.ones(1), jax.random.key(0))


@functools.cache
def of_two_styles():
    """Network and training, compiled once for several tests."""
    network = random_network(architecture("conditional"))
    return network, make_training(network, make_loss(LOSS), optax.adam(RATE))


@functools.cache
def with_batch_norm():
    network = random_network(architecture("batch"))
    return network, make_training(network, plain_loss, optax.sgd(10.0))


def leaves(tree):
    return [np.array(leaf) for leaf in jax.tree.leaves(tree)]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def differs(found, expected):
    return any(
        not np.array_equal(one, other)
        for one, other in zip(found, expected, strict=True)
    )


# --- a step -------------------------------------------------------------------------


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
    trained = training.network(state)
    shares = jnp.eye(2)[jnp.array([0, 1, 0, 1])]
    output = jax.jit(lambda photos: trained(photos, shares))(make_batch(0).content)
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
    assert all(
        differs([one], [other])
        for one, other in zip(leaves(state.rest), before, strict=True)
    )
    # Plain descent moves by the gradient.
    gradient = [
        (one - other) / 10.0
        for one, other in zip(trained, leaves(state.trained), strict=True)
    ]
    norm = np.sqrt(sum(np.square(part).sum() for part in gradient))
    np.testing.assert_allclose(info.gradient_norm, norm, rtol=1e-2)


def test_evaluation_normalizes_every_picture_alike():
    network, training = with_batch_norm()
    state, batch = training.init(network, None), make_batch(0)
    alone = Batch(jnp.repeat(batch.content[:1], 4, 0), batch.style)
    (_, _, together), (_, _, by_itself) = (
        training.evaluate(state, one, plain()) for one in (batch, alone)
    )
    np.testing.assert_allclose(together[0], by_itself[0], atol=1e-6)


def test_evaluation_draws_the_same_samples_at_every_step():
    network, training = with_batch_norm()
    state = training.init(network, None)
    first, later = (
        training.evaluate(state._replace(step=jnp.int32(step)), make_batch(0), plain())[
            0
        ]
        for step in (0, 7)
    )
    assert first == later


def test_learning_rate_decays():
    rates = learning_rates(2e-3, 0.5)
    np.testing.assert_allclose(
        [rates(jnp.int32(step)) for step in (0, 1, 2, 98)],
        [2e-3, 2e-3 / 1.5, 1e-3, 2e-3 / 50],
        rtol=1e-6,
    )
    assert float(learning_rates(2e-3, 0.0)(jnp.int32(10**6))) == pytest.approx(2e-3)
    assert JOHNSON.decay == 0


# --- what is not finite -------------------------------------------------------------


def test_an_update_that_is_not_finite_is_left_out():
    network, training = with_batch_norm()
    state = training.init(network, None)
    state, _ = training.step(state, make_batch(0), plain(), NO_WEIGHT)
    before = leaves((state.trained, state.rest))
    broken = make_batch(1)
    broken = broken._replace(content=broken.content.at[2, 3, 4, 0].set(jnp.nan))
    for count in (1, 2):
        state, info = training.step(state, broken, plain(), NO_WEIGHT)
        assert_equal(leaves((state.trained, state.rest)), before)
        assert int(info.nonfinite) == count
        assert np.isnan(info.loss)
        check_finite(info, count)
    state, info = training.step(state, make_batch(1), plain(), NO_WEIGHT)
    assert int(info.nonfinite) == 0
    assert int(state.step) == 4
    assert differs(leaves(state.trained), before[: len(leaves(state.trained))])
    assert all(np.isfinite(leaf).all() for leaf in leaves(state))


def test_ten_in_a_row_end_the_training():
    network, training = with_batch_norm()
    state = training.init(network, None)
    before = leaves((state.trained, state.rest))
    broken = make_batch(1)
    broken = broken._replace(content=broken.content + jnp.inf)
    for step in range(1, MOST_NONFINITE):
        state, info = training.step(state, broken, plain(), NO_WEIGHT)
        check_finite(info, step)
    state, info = training.step(state, broken, plain(), NO_WEIGHT)
    with pytest.raises(InputError, match="not finite 10 times in a row, up to step 77"):
        check_finite(info, 77)
    assert_equal(leaves((state.trained, state.rest)), before)


# --- one more style -----------------------------------------------------------------


# --- several devices ----------------------------------------------------------------


def three_steps(normalization, batch_sharding, other_sharding):
    styles = 2 if normalization == "conditional" else 1
    network = random_network(architecture(normalization))
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
from test_update import batch_shardings, make_batch, three_steps
for count, devices in ((4, 4), (6, 2), (5, 1), (8, 4)):
    by_picture, everywhere = batch_shardings(count)
    content = jax.device_put(make_batch(0, count), by_picture).content
    assert len(content.sharding.device_set) == devices, count
    shards = [shard.data.shape[0] for shard in content.addressable_shards]
    assert shards == [count // devices] * devices, shards
    assert len(everywhere.device_set) == devices
for name in ("conditional", "batch"):
    np.savez({folder!r} + "/" + name, *three_steps(name, *batch_shardings(4)))
"""


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
        alone = three_steps(name, *batch_shardings(4))
        with np.load(tmp_path / f"{name}.npz") as file:
            for one, other in zip(file.values(), alone, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
