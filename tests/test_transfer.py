import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference

from nstjax.losses import LossTerms, Targets, Weights, style_statistics, total_loss
from nstjax.optimizers import OPTIMIZERS, make_optimizer, with_learning_rate
from nstjax.steps import NonFiniteLossError, compile_steps, run
from nstjax.transfer import style_transfer
from nstjax.vgg import features

SHAPE = (4, 5, 3)
TARGET = np.float32(np.random.default_rng(0).uniform(-50, 50, SHAPE))
CHUNKS = [1, 7]


def toy_loss(image, scale):
    """A bowl around TARGET, in the form of a total loss."""
    bowl = scale * jnp.sum((image - TARGET) ** 2)
    zero = jnp.zeros(())
    return bowl, LossTerms(bowl, zero, zero, {"relu4_2": bowl / scale}, {})


# One of each kind, so that tests share what is compiled.
steps_of = functools.cache(compile_steps)


@functools.cache
def toy_transfer(optimizer="adam", loss_fn=toy_loss, **options):
    return style_transfer(loss_fn, make_optimizer(optimizer), **options)


@functools.cache
def init_of(transfer):
    return jax.jit(transfer.init)


def clip(image):
    return jnp.clip(image, -10, 10)


def start_state(transfer, learning_rate=2.0):
    state = init_of(transfer)(jnp.zeros(SHAPE, jnp.float32))
    return state._replace(opt_state=with_learning_rate(state.opt_state, learning_rate))


def drive(transfer, longest, num_steps, data=(1.0,), learning_rate=2.0, stops=()):
    """All states (copied, for the next dispatch takes them) and all infos, joined."""
    states, infos = [], []
    for state, info in run(
        steps_of(transfer, longest),
        start_state(transfer, learning_rate),
        data,
        num_steps,
        stops=stops,
    ):
        states.append(jax.tree.map(lambda leaf: np.array(leaf, copy=True), state))
        infos.append(info)
    return states, jax.tree.map(lambda *rows: np.concatenate(rows), *infos)


@pytest.fixture(scope="module")
def trunk():
    """A two-block transfer of (image, params, targets, weights), with its data."""
    params = jax.tree.map(np.float32, reference.random_params(blocks=2))
    image, content, style = (
        np.float32(reference.random_image(seed, 9, 11)) for seed in (1, 2, 3)
    )
    pooling = {"pool": "avg", "pool_padding": "valid"}

    @jax.jit
    def targets_of(content, style):
        return Targets(
            features(params, content, ("relu2_1",), **pooling),
            style_statistics(
                params, style, ("relu1_1",), **pooling, gram_normalization="hw"
            ),
        )

    targets = targets_of(content, style)
    one = np.float32(1)
    weights = Weights(one, 100 * one, one, {"relu2_1": one}, {"relu1_1": one})

    def loss_fn(image, params, targets, weights):
        return total_loss(params, image, targets, weights, **pooling)

    return loss_fn, image, (params, targets, weights)


def test_init_starts_at_the_image():
    image = np.float32(reference.random_image(0, 4, 5))
    state = toy_transfer().init(image)
    for leaf in (state.image, state.best_image, state.finite_image):
        np.testing.assert_array_equal(leaf, image)
    assert int(state.step) == 0
    assert np.isinf(state.best_loss)


@pytest.mark.parametrize("longest", CHUNKS)
def test_run_keeps_the_best_evaluated_image(longest):
    # At rate 20 Adam overshoots, so that the best image lies in the middle.
    transfer = toy_transfer()
    states, infos = drive(transfer, longest, 20, learning_rate=20.0)
    singles, _ = drive(transfer, 1, 20, learning_rate=20.0)
    images = [np.zeros(SHAPE, np.float32), *(state.image for state in singles)]
    best = int(np.argmin(infos.loss))
    assert 0 < best < 19
    np.testing.assert_allclose(states[-1].best_image, images[best], rtol=1e-5)
    np.testing.assert_allclose(states[-1].best_loss, infos.loss.min(), rtol=1e-6)
    np.testing.assert_allclose(
        states[-1].best_loss, np.sum((images[best] - TARGET) ** 2), rtol=1e-5
    )


@pytest.mark.parametrize("longest", CHUNKS)
def test_run_tells_the_loss_and_gradient_of_the_image_before_each_update(longest):
    states, infos = drive(toy_transfer(), 1, 9)
    _, infos = drive(toy_transfer(), longest, 9)
    images = [np.zeros(SHAPE), *(np.float64(state.image) for state in states)][:-1]
    losses = [np.sum((image - TARGET) ** 2) for image in images]
    norms = [np.linalg.norm(2 * (image - TARGET)) for image in images]
    np.testing.assert_allclose(infos.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(infos.terms.content, losses, rtol=1e-5)
    np.testing.assert_allclose(infos.gradient_norm, norms, rtol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_in_chunks_equals_one_step_at_a_time(optimizer):
    learning_rate = 2.0 if optimizer == "adam" else 1.0
    transfer = toy_transfer(optimizer)
    (*_, single), single_infos = drive(transfer, 1, 17, learning_rate=learning_rate)
    (*_, chunked), chunked_infos = drive(transfer, 7, 17, learning_rate=learning_rate)
    assert len(single_infos.loss) == len(chunked_infos.loss) == 17
    assert int(chunked.step) == 17
    scale = single_infos.loss[0]
    np.testing.assert_allclose(
        chunked_infos.loss, single_infos.loss, rtol=1e-4, atol=1e-6 * scale
    )
    for found, expected in zip(
        (chunked.image, chunked.best_image, chunked.finite_image),
        (single.image, single.best_image, single.finite_image),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_run_on_a_trunk_in_chunks_equals_one_step_at_a_time(trunk):
    loss_fn, image, data = trunk
    transfer = style_transfer(loss_fn, make_optimizer("lbfgs"))
    ends, losses = [], []
    for longest in CHUNKS:
        rows = []
        for state, info in run(
            steps_of(transfer, longest), init_of(transfer)(image), data, 9
        ):
            rows.append(info.loss)
        ends.append(np.asarray(state.image))
        losses.append(np.concatenate(rows))
    assert losses[0][-1] < 0.5 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-3, atol=0.1)


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
        loss = -jnp.sum(image)
        loss = jnp.where(jnp.mean(image) > 3.5, value, loss)
        zero = jnp.zeros(())
        return loss, LossTerms(loss, zero, zero, {}, {})

    transfer = style_transfer(loss_fn, optax.sgd(1.0))
    seen = []
    with pytest.raises(NonFiniteLossError, match="at step 4: lower") as caught:
        for _, info in run(
            steps_of(transfer, longest),
            transfer.init(jnp.zeros(SHAPE, jnp.float32)),
            (),
            20,
        ):
            seen.append(info.loss)
    assert caught.value.step == 4
    assert isinstance(caught.value, ArithmeticError)
    assert repr(float(value)) in str(caught.value)
    np.testing.assert_array_equal(caught.value.image, np.full(SHAPE, 3))
    if longest == 1:
        np.testing.assert_array_equal(np.concatenate(seen), [0, -60, -120, -180])


def test_project_follows_each_update():
    seen = []

    def loss_fn(image):
        jax.debug.callback(lambda image: seen.append(np.array(image)), image)
        return toy_loss(image, 1.0)

    transfer = toy_transfer(loss_fn=loss_fn, project=clip)
    states, _ = drive(transfer, 1, 12, data=(), learning_rate=7.0)
    jax.effects_barrier()
    assert len(seen) == 12
    for image in (*seen, *(state.image for state in states)):
        assert np.abs(image).max() <= 10
    # Adam still swings within the bounds; where the goal lies outside, it stays there.
    outside = np.abs(TARGET) > 15
    np.testing.assert_array_equal(
        states[-1].image[outside], 10 * np.sign(TARGET[outside])
    )
    free, _ = drive(toy_transfer(), 1, 12, learning_rate=7.0)
    assert np.abs(free[-1].image).max() > 10


@pytest.mark.parametrize(("longest", "decay"), [(1, 0.7), (7, 0.0), (7, 0.99)])
def test_average_is_the_bias_corrected_mean_of_start_and_clamped_images(longest, decay):
    transfer = toy_transfer(project=clip, average_decay=decay)
    start = np.zeros(SHAPE)
    begun = start_state(transfer)
    assert begun.average is not None
    np.testing.assert_allclose(begun.average.sum / begun.average.weight, start)
    singles, _ = drive(transfer, 1, 9, learning_rate=7.0)
    images = [start, *(np.float64(state.image) for state in singles)]
    assert np.abs(images).max() == 10
    states, _ = drive(transfer, longest, 9, learning_rate=7.0)
    for state in states:
        step = int(state.step)
        shares = (1 - decay) * decay ** np.arange(step, -1, -1.0)
        np.testing.assert_allclose(state.average.weight, shares.sum(), rtol=1e-5)
        np.testing.assert_allclose(shares.sum(), 1 - decay ** (step + 1))
        expected = np.tensordot(shares / shares.sum(), images[: step + 1], 1)
        np.testing.assert_allclose(
            state.average.sum / state.average.weight, expected, rtol=1e-4, atol=1e-4
        )


def test_average_changes_nothing_else():
    (*_, without), infos = drive(toy_transfer(), 7, 9)
    (*_, with_average), other_infos = drive(toy_transfer(average_decay=0.9), 7, 9)
    assert without.average is None
    np.testing.assert_array_equal(with_average.image, without.image)
    np.testing.assert_array_equal(other_infos.loss, infos.loss)


@pytest.mark.parametrize("longest", CHUNKS)
def test_pass_step_tells_the_loss_how_many_updates_the_image_has_had(longest):
    def loss_fn(image, step, scale):
        loss, terms = toy_loss(image, scale)
        return loss, terms._replace(tv=step.astype(jnp.float32))

    transfer = toy_transfer(loss_fn=loss_fn, pass_step=True)
    states, infos = drive(transfer, longest, 9)
    np.testing.assert_array_equal(infos.terms.tv, np.arange(9))
    # A run that goes on counts on.
    steps = steps_of(transfer, longest)
    (*_, (state, _)) = run(steps, start_state(transfer), (1.0,), 4)
    rows = [info.terms.tv for _, info in run(steps, state, (1.0,), 9)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(4, 9))
    (*_, without), _ = drive(toy_transfer(), longest, 9)
    np.testing.assert_allclose(states[-1].image, without.image, rtol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pass_step_gives_one_step_to_all_evaluations_of_an_update(optimizer):
    # A line search compares losses of the same samples.
    seen = []

    def loss_fn(image, step, scale):
        jax.debug.callback(lambda step: seen.append(int(step)), step)
        return toy_loss(image, scale)

    transfer = toy_transfer(optimizer, loss_fn=loss_fn, pass_step=True)
    advance = steps_of(transfer, 1).advance
    state = start_state(transfer, learning_rate=1.0)
    for step in range(3):
        seen.clear()
        state, _ = advance(state, 1, 1.0)
        jax.effects_barrier()
        assert set(seen) == {step}


@pytest.mark.parametrize("longest", CHUNKS)
def test_compile_steps_traces_once_whatever_the_images_data_and_rates(longest):
    traces = []

    def loss_fn(image, target, scale):
        traces.append(1)
        loss = scale * jnp.sum((image - target) ** 2)
        zero = jnp.zeros(())
        return loss, LossTerms(loss, zero, zero, {}, {})

    transfer = style_transfer(loss_fn, make_optimizer("lbfgs"))
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
    new, _ = steps_of(transfer, longest).advance(state, 1, 1.0)
    assert state.image.is_deleted()
    assert state.best_image.is_deleted()
    assert not new.image.is_deleted()


def test_compile_steps_rows_hold_the_longest_chunk():
    transfer = toy_transfer()
    _, info = steps_of(transfer, 7).advance(start_state(transfer), 3, 1.0)
    assert info.loss.shape == info.terms.content_layers["relu4_2"].shape == (7,)
    assert (info.loss[:3] > 0).all()
    assert (info.loss[3:] == 0).all()


def test_compile_steps_dispatches_single_steps_on_cpu():
    expected = 1 if jax.default_backend() == "cpu" else 25
    assert compile_steps(toy_transfer()).longest == expected


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_step_vmapped_over_weights_equals_a_loop(trunk, optimizer):
    loss_fn, image, (params, targets, weights) = trunk
    transfer = style_transfer(loss_fn, make_optimizer(optimizer))
    axes = Weights(None, 0, None, None, None)
    betas = np.float32([0, 10, 1000])
    batched_step = jax.jit(
        jax.vmap(transfer.step, in_axes=(0, None, None, axes)),
    )
    single_step = jax.jit(transfer.step)
    states = jax.jit(jax.vmap(transfer.init))(np.stack([image] * 3))
    for _ in range(3):
        states, infos = batched_step(
            states, params, targets, weights._replace(style=betas)
        )
    for index, beta in enumerate(betas):
        state = init_of(transfer)(image)
        for _ in range(3):
            state, info = single_step(
                state, params, targets, weights._replace(style=beta)
            )
        np.testing.assert_allclose(infos.loss[index], info.loss, rtol=1e-3)
        np.testing.assert_allclose(
            states.image[index], state.image, rtol=1e-3, atol=0.05
        )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_state_survives_a_round_trip_through_numpy(optimizer):
    transfer = toy_transfer(optimizer)
    steps = steps_of(transfer, 1)
    (*_, (state, _)) = run(steps, start_state(transfer), (1.0,), 4)
    leaves, structure = jax.tree.flatten(state)
    stored = [np.array(leaf, copy=True) for leaf in leaves]
    (*_, (through, _)) = run(steps, state, (1.0,), 9)
    restored = jax.tree.unflatten(structure, [jnp.array(leaf) for leaf in stored])
    (*_, (again, _)) = run(steps, restored, (1.0,), 9)
    jax.tree.map(np.testing.assert_array_equal, through, again)
    assert int(again.step) == 9
