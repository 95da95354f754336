"""Transfers that compile at once, and what drives them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.losses.terms import LossTerms
from nstjax.optimization.optimizers import make_optimizer, with_learning_rate
from nstjax.optimization.steps import compile_steps, run
from nstjax.optimization.transfer import style_transfer

SHAPE = (4, 5, 3)
TARGET = np.float32(np.random.default_rng(0).uniform(-50, 50, SHAPE))
CHUNKS = [1, 7]


def with_terms(loss):
    """A loss in the form of a total one, all of which is of the content."""
    zero = jnp.zeros(())
    return loss, LossTerms(loss, zero, zero, {"relu4_2": loss}, {})


def toy_loss(image, scale):
    """A bowl around TARGET."""
    return with_terms(scale * jnp.sum((image - TARGET) ** 2))


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
