import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference_optimizers

from nstjax.errors import InputError
from nstjax.optimization.optimizers import (
    OPTIMIZERS,
    make_optimizer,
    scale_by_published_lbfgs,
    with_learning_rate,
)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def iterate(loss_fn, optimizer, start, steps):
    """All iterates, the start first, and the loss before each update."""

    def body(carry, _):
        x, state = carry
        value, gradient = jax.value_and_grad(loss_fn)(x)
        updates, state = optimizer.update(
            gradient, state, x, value=value, grad=gradient, value_fn=loss_fn
        )
        x = optax.apply_updates(x, updates)
        return (x, state), (x, value)

    carry = (start, optimizer.init(start))
    _, (iterates, values) = jax.lax.scan(body, carry, length=steps)
    return jnp.concatenate([start[None], iterates]), values


def lbfgs(memory_size):
    return optax.chain(scale_by_published_lbfgs(memory_size), optax.scale(-1.0))


CURVATURES = np.geomspace(1e-2, 10, 30).reshape(2, 5, 3)
BOWL_START = 100 * np.random.default_rng(0).normal(size=CURVATURES.shape)
MINIMUM = np.random.default_rng(3).normal(size=(2, 5, 3))


def quadratic(x):
    return 0.5 * jnp.sum(CURVATURES * (x - MINIMUM) ** 2)


def quadratic_gradient(x):
    return CURVATURES * (x - MINIMUM)


WELLS_START = 0.3 * np.random.default_rng(0).normal(size=(3, 4))


def wells(x):
    """Double wells, coupled: curved downward around 0, where the start lies."""
    return jnp.sum((x**2 - 1) ** 2) / 4 + 0.1 * jnp.sum(x[1:] * x[:-1])


def wells_gradient(x):
    gradient = x**3 - x
    gradient[1:] += 0.1 * x[:-1]
    gradient[:-1] += 0.1 * x[1:]
    return gradient


def test_lbfgs_follows_torch_on_a_quadratic_past_its_memory(float64):
    found, losses = iterate(quadratic, lbfgs(5), BOWL_START, 200)
    expected = reference_optimizers.torch_lbfgs(
        quadratic_gradient, BOWL_START, 200, history=5
    )
    assert not expected.dropped
    # The rounding of 200 steps piles up; the iterates start at about 100.
    np.testing.assert_allclose(found[:40], expected.iterates[:40], atol=1e-7)
    np.testing.assert_allclose(found, expected.iterates, atol=0.1)
    assert losses[-1] < 1e-12 * losses[0]
    # Five pairs are what makes the difference, not any number of them.
    unlimited = reference_optimizers.torch_lbfgs(quadratic_gradient, BOWL_START, 40)
    assert np.abs(unlimited.iterates[:40] - found[:40]).max() > 1


def test_lbfgs_follows_torch_where_curvature_is_negative(float64):
    found, _ = iterate(wells, make_optimizer("lbfgs"), WELLS_START, 60)
    expected = reference_optimizers.torch_lbfgs(wells_gradient, WELLS_START, 60)
    # Step 1 has no pair to fall back on, step 5 has; then come the ones at the minimum.
    assert expected.dropped[:2] == [1, 5]
    assert min(expected.dropped[2:], default=60) > 50
    # Long unit steps magnify the rounding on the way, which differs between processors.
    np.testing.assert_allclose(found[:20], expected.iterates[:20], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(found, expected.iterates, rtol=1e-3, atol=1e-4)
    assert np.abs(wells_gradient(np.array(found[-1]))).max() < 1e-6


def test_lbfgs_first_step_is_no_longer_than_the_gradient():
    # That it is no longer than 1, the starts above tell.
    start = np.float32(1e-3 * np.random.default_rng(0).normal(size=(2, 3)))
    for x in (start, 0 * start):
        iterates, _ = iterate(lambda x: jnp.sum(x**2) / 2, lbfgs(5), jnp.array(x), 1)
        np.testing.assert_array_equal(iterates[1], 0)


@pytest.mark.parametrize(
    ("arguments", "pairs"),
    [(("lbfgs",), 100), (("lbfgs", 7), 7), (("lbfgs-linesearch", 7), 7)],
)
def test_make_optimizer_keeps_as_many_pairs_as_it_is_told(arguments, pairs):
    state = jax.eval_shape(make_optimizer(*arguments).init, jnp.zeros((2, 3)))
    assert optax.tree.get(state, "diff_params_memory").shape == (pairs, 2, 3)


@pytest.mark.parametrize(
    ("learning_rate", "options"), [(0.5, {}), (2.0, {"adam_betas": (0.5, 0.8)})]
)
def test_adam_equals_numpys(learning_rate, options, float64):
    optimizer = make_optimizer("adam", **options)
    step = jax.jit(optimizer.update)
    x = jnp.asarray(BOWL_START)
    state = with_learning_rate(optimizer.init(x), learning_rate)
    expected = reference_optimizers.adam(
        quadratic_gradient,
        BOWL_START,
        50,
        learning_rate,
        *options.get("adam_betas", ()),
    )
    for iterate_expected in expected[1:]:
        updates, state = step(quadratic_gradient(np.asarray(x)), state, x)
        x = x + updates
        np.testing.assert_allclose(x, iterate_expected, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_learning_rate_scales_the_step_without_tracing_again(name):
    gradient = np.float32(np.random.default_rng(0).normal(size=(4, 5)))
    optimizer = make_optimizer(name)
    image = jnp.zeros((4, 5), jnp.float32)
    traces = []

    @jax.jit
    def step(state):
        traces.append(1)
        updates, _ = optimizer.update(
            gradient,
            state,
            image,
            value=jnp.zeros(()),
            grad=gradient,
            # As steep everywhere: the line search takes the first length it tries.
            value_fn=lambda x: jnp.vdot(gradient, x),
        )
        return updates

    state = optimizer.init(image)
    # The rate is 1 at first.
    of_one = np.asarray(step(state))
    assert np.abs(of_one).max() > 0
    for rate in (0.25, 4):
        changed = with_learning_rate(state, rate)
        np.testing.assert_allclose(step(changed), rate * of_one, rtol=1e-6)
    assert len(traces) == 1
    # The state is donated, and a buffer cannot be donated twice.
    leaves = jax.tree.leaves(changed)
    rates = [leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.sum() == 4]
    assert rates
    assert len(set(rates)) == len(rates)


def test_make_optimizer_rejects_an_unknown_name():
    with pytest.raises(InputError, match="unknown optimizer 'sgd': known are adam"):
        make_optimizer("sgd")


def test_lbfgs_linesearch_never_climbs(float64):
    def rosenbrock(x):
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    start = np.array([-1.2, 1.0, -0.5, 0.8])
    search = make_optimizer("lbfgs-linesearch")
    iterates, losses = iterate(rosenbrock, search, start, 60)
    until_there = losses[losses > 1e-15]
    assert len(until_there) > 10
    assert (np.diff(until_there) < 0).all()
    np.testing.assert_allclose(iterates[-1], 1, atol=1e-6)
    # The same steps without a search do climb.
    _, unsearched = iterate(rosenbrock, lbfgs(100), start, 60)
    assert (np.diff(unsearched) > 0).any()
