"""A state of a transfer, and what a step makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from toy_transfers import (
    CHUNKS,
    SHAPE,
    TARGET,
    clip,
    drive,
    start_state,
    steps_of,
    toy_loss,
    toy_transfer,
)

from nstjax.optimization.optimizers import OPTIMIZERS
from nstjax.optimization.steps import run


def test_init_starts_at_the_image():
    image = np.float32(reference.random_image(0, 4, 5))
    state = toy_transfer().init(image)
    for leaf in (state.image, state.best_image, state.finite_image):
        np.testing.assert_array_equal(leaf, image)
    assert int(state.step) == 0
    assert np.isinf(state.best_loss)


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


@pytest.mark.parametrize(("longest", "decay"), [(1, 0.0), (7, 0.9)])
def test_average_is_the_bias_corrected_mean_of_start_and_clamped_images(longest, decay):
    transfer = toy_transfer(project=clip, average_decay=decay)
    singles, _ = drive(transfer, 1, 9, learning_rate=7.0)
    images = [np.zeros(SHAPE), *(np.float64(state.image) for state in singles)]
    assert np.abs(images).max() == 10
    states, _ = drive(transfer, longest, 9, learning_rate=7.0)
    for state in (start_state(transfer), *states):
        step = int(state.step)
        shares = (1 - decay) * decay ** np.arange(step, -1, -1.0)
        np.testing.assert_allclose(state.average.weight, shares.sum(), rtol=1e-5)
        np.testing.assert_allclose(shares.sum(), 1 - decay ** (step + 1))
        expected = np.tensordot(shares / shares.sum(), images[: step + 1], 1)
        found = state.average.sum / state.average.weight
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("longest", CHUNKS)
def test_pass_step_tells_the_loss_how_many_updates_the_image_has_had(longest):
    def loss_fn(image, step, scale):
        loss, terms = toy_loss(image, scale)
        return loss, terms._replace(tv=step.astype(jnp.float32))

    transfer = toy_transfer(loss_fn=loss_fn, pass_step=True)
    _, infos = drive(transfer, longest, 9)
    np.testing.assert_array_equal(infos.terms.tv, np.arange(9))
    # A run that goes on counts on.
    steps = steps_of(transfer, longest)
    (*_, (state, _)) = run(steps, start_state(transfer), (1.0,), 4)
    rows = [info.terms.tv for _, info in run(steps, state, (1.0,), 9)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(4, 9))


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
