"""The optimization over the image: a pair of pure functions.

    transfer = style_transfer(loss_fn, optimizer)
    state = transfer.init(image)
    state, info = transfer.step(state, *data)        # the caller jits, or vmaps

``loss_fn(image, *data)`` takes what changes between runs (network, targets, weights) as
arguments, so that one compilation serves every photo and painting of the same size.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from nstjax.losses.objective import LossFunction
from nstjax.losses.terms import LossTerms


class Average(NamedTuple):
    """Exponential moving average of the iterates: ``sum / weight``.

    Attributes:
      sum: Σ_i (1 - d) d^(n-i) x_i over the iterates x_0 … x_n, the start included.
      weight: the same sum of ones, 1 - d^(n+1).
    """

    sum: Array
    weight: Array


class TransferState(NamedTuple):
    """What the next step needs.

    Attributes:
      image: the iterate, shape [height, width, 3], in the network's units.
      opt_state: the optimizer's state.
      step: how many updates the image has had, int32 scalar.
      best_image: the evaluated image of lowest loss so far.
      best_loss: its loss; inf before the first evaluation.
      finite_image: the last evaluated image whose loss was finite.
      average: of the images, or None.
    """

    image: Array
    opt_state: optax.OptState
    step: Array
    best_image: Array
    best_loss: Array
    finite_image: Array
    average: Average | None = None


class TransferInfo(NamedTuple):
    """What one step tells and the next does not need.

    Attributes:
      loss: total loss of the image before the update, scalar.
      terms: its terms, unweighted.
      gradient_norm: ‖∂loss/∂image‖₂, scalar.
    """

    loss: Array
    terms: LossTerms
    gradient_norm: Array


class StyleTransfer(NamedTuple):
    """Pure functions.

    Attributes:
      init: image [height, width, 3] -> TransferState.
      step: (TransferState, *data) -> (TransferState, TransferInfo).
      update: the step's second half, see ``make_update``.
    """

    init: Callable[[ArrayLike], TransferState]
    step: Callable[..., tuple[TransferState, TransferInfo]]
    update: Callable[..., tuple[TransferState, TransferInfo]]


UpdateFunction = Callable[..., tuple[TransferState, TransferInfo]]


def style_transfer(
    loss_fn: LossFunction,
    optimizer: optax.GradientTransformation,
    *,
    project: Callable[[Array], Array] | None = None,
    average_decay: float | None = None,
    pass_step: bool = False,
) -> StyleTransfer:
    """Gradient-based minimization of ``loss_fn`` over an image.

    x ← project(x + u(∇L(x))), with u the optimizer's update.

    Args:
      loss_fn: (image, *data) -> (scalar, LossTerms).
      optimizer: any optax optimizer of a single array, line searches included.
      project: applied after each update, such as a clip to the displayable range.
      average_decay: d of the moving average of the images, v ← d v + (1 - d) x; None
        for no average.
      pass_step: whether ``loss_fn`` is (image, step, *data), for a loss that draws new
        samples at each step.

    Returns:
      ``init`` and ``step``, and the latter's ``update``. None is compiled: ``jax.jit``
      or ``jax.vmap`` them.

    Source:
      Gatys, Ecker and Bethge (2016), section 2.3.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    update_fn = make_update(optimizer, project=project, average_decay=average_decay)

    def init_fn(image: ArrayLike) -> TransferState:
        image = jnp.asarray(image)
        average = None
        if average_decay is not None:
            weight = jnp.asarray(1.0 - average_decay, image.dtype)
            average = Average(weight * image, weight)
        state = TransferState(
            image=image,
            opt_state=optimizer.init(image),
            step=jnp.zeros((), jnp.int32),
            best_image=image,
            best_loss=jnp.full((), jnp.inf, image.dtype),
            finite_image=image,
            average=average,
        )
        # A donated buffer may not stand in two leaves.
        return jax.tree.map(jnp.copy, state)

    def step_fn(
        state: TransferState, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        if pass_step:
            data = (state.step, *data)
        (loss, terms), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
            state.image, *data
        )
        return update_fn(
            state, loss, terms, gradient, lambda image: loss_fn(image, *data)[0]
        )

    return StyleTransfer(init_fn, step_fn, update_fn)


def make_update(
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    project: Callable[[Array], Array] | None = None,
    average_decay: float | None = None,
) -> UpdateFunction:
    """What a step does once the loss and its gradient are known.

    Args:
      optimizer: as in ``style_transfer``, like the rest.
      project: likewise.
      average_decay: likewise.

    Returns:
      (state, loss, terms, gradient, value_fn) -> (state, info), where ``value_fn`` is
      image -> loss, or None for an optimizer without a line search.
    """

    def update_fn(
        state: TransferState,
        loss: Array,
        terms: LossTerms,
        gradient: Array,
        value_fn: Callable[[Array], Array] | None = None,
    ) -> tuple[TransferState, TransferInfo]:
        updates, opt_state = optimizer.update(
            gradient,
            state.opt_state,
            state.image,
            value=loss,
            grad=gradient,
            value_fn=value_fn,
        )
        image = optax.apply_updates(state.image, updates)
        if project:
            image = project(image)
        better = loss < state.best_loss
        new_state = TransferState(
            image=image,
            opt_state=opt_state,
            step=state.step + 1,
            best_image=jnp.where(better, state.image, state.best_image),
            best_loss=jnp.where(better, loss, state.best_loss),
            finite_image=jnp.where(jnp.isfinite(loss), state.image, state.finite_image),
            average=None
            if state.average is None or average_decay is None
            else _with_iterate(state.average, image, average_decay),
        )
        return new_state, TransferInfo(loss, terms, jnp.linalg.norm(gradient))

    return update_fn


def _with_iterate(average: Average, image: Array, decay: float) -> Average:
    return Average(
        decay * average.sum + (1.0 - decay) * image,
        decay * average.weight + (1.0 - decay),
    )
