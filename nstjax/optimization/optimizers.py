"""The optimizers that published style transfer uses, by name, as optax transformations.

The learning rate is an array in the optimizer's state (``optax.inject_hyperparams``),
so that another rate needs no new compilation: see ``with_learning_rate``.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError

NUM_CORRECTION = 100
ADAM_BETAS = (0.9, 0.999)
# Torch drops curvature pairs below this: without a line search s·y may be negative, and
# the direction would then point uphill.
SMALLEST_CURVATURE = 1e-10


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """What updates an image, but for its learning rate.

    Attributes:
      name: one of ``OPTIMIZERS``.
      lbfgs_num_correction: how many pairs of past steps and gradients L-BFGS keeps.
      adam_betas: Adam's β₁ and β₂.
      clamp: whether each update is followed by a cut to the displayable range.
      keep: which image is the result: the "last", the "best" (of lowest loss) or the
        moving "average".
      average_decay: decay of that average.
    """

    name: str = dataclasses.field(default="lbfgs", metadata={"setting": "optimizer"})
    lbfgs_num_correction: int = NUM_CORRECTION
    adam_betas: tuple[float, float] = ADAM_BETAS
    clamp: bool = False
    keep: Literal["last", "best", "average"] = "last"
    average_decay: float = 0.99


class PublishedLbfgsState(NamedTuple):
    """State of ``scale_by_published_lbfgs``.

    Attributes:
      lbfgs: optax's state: the last image and gradient, and the curvature pairs.
      pair: where in the memory the last good pair lies.
    """

    lbfgs: optax.ScaleByLBFGSState
    pair: Array


def scale_by_published_lbfgs(
    memory_size: int = NUM_CORRECTION,
) -> optax.GradientTransformationExtraArgs:
    """L-BFGS direction as Torch computes it, for unit steps without a line search.

    ``optax.scale_by_lbfgs`` with Torch's two rules around it: the first step is
    min(1, 1/‖g‖₁) · g, and a pair (s, y) with s·y ≤ 1e-10 teaches nothing. In place of
    such a pair the last good one is given again, which leaves the inverse Hessian as it
    was: with H y = s, the update (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ is H.

    Args:
      memory_size: how many pairs are kept (Torch's and Johnson's default is 100).

    Returns:
      An optax transformation of a single array; follow it by a step of -1.

    Source:
      torch ``optim.lbfgs`` as used by Gatys' code, Johnson's neural-style and
      neural-style-pt.
    """
    lbfgs = optax.scale_by_lbfgs(memory_size=memory_size)

    def init_fn(params: Array) -> PublishedLbfgsState:
        return PublishedLbfgsState(lbfgs.init(params), jnp.zeros((), jnp.int32))

    def update_fn(
        updates: Array,
        state: PublishedLbfgsState,
        params: Array,
        **extra: object,
    ) -> tuple[Array, PublishedLbfgsState]:
        del extra
        memory, gradient = state.lbfgs, updates
        s = params - memory.params
        y = gradient - memory.updates
        curved = jnp.vdot(s, y) > SMALLEST_CURVATURE
        last_s = memory.diff_params_memory[state.pair]
        last_y = memory.diff_updates_memory[state.pair]
        direction, new_memory = lbfgs.update(
            gradient,
            memory._replace(
                params=jnp.where(curved, memory.params, params - last_s),
                updates=jnp.where(curved, memory.updates, gradient - last_y),
            ),
            params,
        )
        norm_1 = jnp.abs(gradient).sum()
        first_step = jnp.minimum(1.0, 1.0 / norm_1) * gradient
        direction = jnp.where(memory.count == 0, first_step, direction)
        # optax has just written this step's pair, new or repeated, at count - 1.
        pair = jnp.maximum(memory.count - 1, 0) % memory_size
        return direction, PublishedLbfgsState(new_memory, pair)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class Optimizer(NamedTuple):
    """An optimizer that people can name.

    Attributes:
      make: (learning rate, options) -> optax transformation.
      rate: the learning rate where a preset has none for it; None: Adam's.
      curvature: whether it takes gradients' differences for curvature: not for losses
        that draw other samples at every step, nor for normalized gradients.
      step_copies: how many times a step holds the largest activation.
      evaluations: how often a step evaluates the loss, as compiled.
      sweep_copies: how many times a sweep holds each activation.
    """

    make: Callable[[ArrayLike, OptimizerOptions], optax.GradientTransformation]
    rate: float | None = 1.0
    curvature: bool = True
    step_copies: int = 3
    evaluations: int = 1
    sweep_copies: int = 2


def _adam(
    learning_rate: ArrayLike, options: OptimizerOptions
) -> optax.GradientTransformation:
    b1, b2 = options.adam_betas
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=1e-8)


def _lbfgs(
    learning_rate: ArrayLike, options: OptimizerOptions
) -> optax.GradientTransformation:
    return optax.chain(
        scale_by_published_lbfgs(options.lbfgs_num_correction),
        optax.scale_by_learning_rate(learning_rate),
    )


def _lbfgs_linesearch(
    learning_rate: ArrayLike, options: OptimizerOptions
) -> optax.GradientTransformation:
    # The rate scales the direction, hence the first step that the search tries.
    return optax.lbfgs(learning_rate, memory_size=options.lbfgs_num_correction)


OPTIMIZERS = {
    "adam": Optimizer(_adam, rate=None, curvature=False, step_copies=2),
    "lbfgs": Optimizer(_lbfgs),
    "lbfgs-linesearch": Optimizer(_lbfgs_linesearch, evaluations=2, sweep_copies=4),
}


def make_optimizer(
    name: str,
    lbfgs_num_correction: int = NUM_CORRECTION,
    adam_betas: tuple[float, float] = ADAM_BETAS,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of that name, with its learning rate (1 at first) in its state.

    adam: β₁ 0.9, β₂ 0.999 unless given, ε 1e-8.
    lbfgs: as the published runs used it; see ``scale_by_published_lbfgs``. One
      evaluation of loss and gradient per step.
    lbfgs-linesearch: ``optax.lbfgs`` with its zoom line search; several evaluations per
      step.

    Args:
      name: one of the above.
      lbfgs_num_correction: how many pairs (s, y) L-BFGS keeps, each as large as two
        images.
      adam_betas: Adam's β₁ and β₂.

    Raises:
      InputError: unknown name.
    """
    if name not in OPTIMIZERS:
        raise InputError(
            f"unknown optimizer {name!r}: known are {', '.join(OPTIMIZERS)}"
        )
    options = OptimizerOptions(name, lbfgs_num_correction, adam_betas)
    optimizer = optax.inject_hyperparams(
        lambda learning_rate: OPTIMIZERS[name].make(learning_rate, options)
    )(learning_rate=jnp.asarray(1.0, jnp.float32))
    return optax.with_extra_args_support(optimizer)


def with_learning_rate(
    opt_state: optax.InjectHyperparamsState, learning_rate: ArrayLike
) -> optax.InjectHyperparamsState:
    """The same state of one of our optimizers with another learning rate."""
    rate = jnp.asarray(learning_rate, jnp.float32)
    return opt_state._replace(
        hyperparams=opt_state.hyperparams | {"learning_rate": rate}
    )
