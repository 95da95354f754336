"""Steps that are compiled, and runs of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_transfers import (
    CHUNKS,
    SHAPE,
    TARGET,
    drive,
    start_state,
    steps_of,
    toy_transfer,
    with_terms,
)

from nstjax.optimization.optimizers import make_optimizer, with_learning_rate
from nstjax.optimization.steps import NonFiniteLossError, compile_steps, run
from nstjax.optimization.transfer import style_transfer


@pytest.mark.parametrize("longest", CHUNKS)
def test_run_tells_of_the_images_before_each_update_and_keeps_the_best(longest):
    # At rate 20 Adam overshoots, so that the best image lies in the middle.
    transfer = toy_transfer()
    singles, _ = drive(transfer, 1, 20, learning_rate=20.0)
    states, infos = drive(transfer, longest, 20, learning_rate=20.0)
    images = [np.zeros(SHAPE), *(np.float64(state.image) for state in singles)][:-1]
    losses = [np.sum((image - TARGET) ** 2) for image in images]
    norms = [np.linalg.norm(2 * (image - TARGET)) for image in images]
    np.testing.assert_allclose(infos.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(infos.terms.content, losses, rtol=1e-5)
    np.testing.assert_allclose(infos.gradient_norm, norms, rtol=1e-5)
    best = int(np.argmin(losses))
    assert 0 < best < 19
    np.testing.assert_allclose(states[-1].best_image, images[best], rtol=1e-5)
    np.testing.assert_allclose(states[-1].best_loss, losses[best], rtol=1e-5)


# A line search compiles for long, and is but another step.
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_run_in_chunks_equals_one_step_at_a_time(optimizer):
    learning_rate = 2.0 if optimizer == "adam" else 1.0
    transfer = toy_transfer(optimizer)
    (*_, single), single_infos = drive(transfer, 1, 9, learning_rate=learning_rate)
    (*_, chunked), chunked_infos = drive(transfer, 7, 9, learning_rate=learning_rate)
    assert len(single_infos.loss) == len(chunked_infos.loss) == 9
    assert int(chunked.step) == 9
    losses, found = single_infos.loss, chunked_infos.loss
    np.testing.assert_allclose(found, losses, rtol=1e-4, atol=1e-6 * losses[0])
    for name in ("image", "best_image", "finite_image"):
        found, expected = getattr(chunked, name), getattr(single, name)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("longest", "stops", "expected"),
    [
        (1, (), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (7, (), [7, 10]),
        (7, (3, 4), [3, 4, 10]),
        (7, (-1, 0, 2, 2, 9, 10, 99), [2, 9, 10]),
        (7, itertools.count(3, 3), [3, 6, 9, 10]),
    ],
)
def test_run_ends_a_dispatch_at_every_stop(longest, stops, expected):
    states, infos = drive(toy_transfer(), longest, 10, stops=stops)
    assert [int(state.step) for state in states] == expected
    assert len(infos.loss) == 10
    assert (np.diff(infos.loss) < 0).all()


def test_run_goes_on_from_where_the_state_is():
    transfer = toy_transfer()
    steps = steps_of(transfer, 7)
    (*_, (halfway, _)) = run(steps, start_state(transfer), (1.0,), 5)
    rest = list(run(steps, halfway, (1.0,), 12, stops=(3, 8)))
    assert [len(info.loss) for _, info in rest] == [3, 4]
    assert int(rest[-1][0].step) == 12
    assert not list(run(steps, rest[-1][0], (1.0,), 12))
    (*_, direct), _ = drive(transfer, 7, 12)
    np.testing.assert_allclose(rest[-1][0].image, direct.image, rtol=1e-5)


@pytest.mark.parametrize("longest", CHUNKS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_run_stops_at_the_first_loss_that_is_not_finite(longest, value):
    # Each pixel grows by 1 a step; the image of fours breaks the loss.
    def loss_fn(image):
        broken = jnp.mean(image) > 3.5
        return with_terms(jnp.where(broken, value, -jnp.sum(image)))

    transfer = style_transfer(loss_fn, optax.sgd(1.0))
    start = transfer.init(jnp.zeros(SHAPE, jnp.float32))
    seen = []
    with pytest.raises(NonFiniteLossError, match="at step 4: lower") as caught:
        for _, info in run(steps_of(transfer, longest), start, (), 20):
            seen.extend(info.loss)
    assert caught.value.step == 4
    assert isinstance(caught.value, ArithmeticError)
    assert repr(float(value)) in str(caught.value)
    np.testing.assert_array_equal(caught.value.image, np.full(SHAPE, 3))
    assert seen == ([0, -60, -120, -180] if longest == 1 else [])


@pytest.mark.parametrize("longest", CHUNKS)
def test_compile_steps_traces_once_whatever_the_images_data_and_rates(longest):
    traces = []

    def loss_fn(image, target, scale):
        traces.append(1)
        return with_terms(scale * jnp.sum((image - target) ** 2))

    transfer = style_transfer(loss_fn, make_optimizer("adam"))
    steps = steps_of(transfer, longest)
    assert not traces
    counts, ends = [], []
    for factor, learning_rate in ((1, 1.0), (2, 0.5), (3, 0.25)):
        state = transfer.init(jnp.full(SHAPE, factor, jnp.float32))
        state = state._replace(
            opt_state=with_learning_rate(state.opt_state, learning_rate)
        )
        data = (factor * TARGET, np.float32(factor))
        for state, _ in run(steps, state, data, 9, stops=(4,)):
            pass
        ends.append(np.asarray(state.image))
        counts.append(len(traces))
    assert counts[0] == counts[-1] > 0
    assert steps.advance._cache_size() == 1
    assert not np.allclose(ends[0], ends[1])


@pytest.mark.parametrize("longest", CHUNKS)
def test_compile_steps_takes_the_memory_of_the_state_over(longest):
    transfer = toy_transfer()
    state = start_state(transfer)
    new, info = steps_of(transfer, longest).advance(state, 1, 1.0)
    assert state.image.is_deleted() and state.best_image.is_deleted()
    assert not new.image.is_deleted()
    # Its rows hold the longest chunk.
    assert info.loss.shape == info.terms.content_layers["relu4_2"].shape == (longest,)
    np.testing.assert_array_equal(info.loss > 0, np.arange(longest) < 1)


def test_compile_steps_dispatches_single_steps_on_cpu():
    expected = 1 if jax.default_backend() == "cpu" else 25
    assert compile_steps(toy_transfer()).longest == expected
