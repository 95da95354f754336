"""The optimization over the image: a pair of pure functions, and the loop around it.

    transfer = style_transfer(loss_fn, optimizer)
    state = transfer.init(image)
    state, info = transfer.step(state, *data)        # the caller jits, or vmaps

``loss_fn(image, *data)`` takes what changes between runs (network, targets, weights) as
arguments, so that one compilation serves every photo and painting of the same size.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from nstjax.losses import LossTerms

LossFunction = Callable[..., tuple[Array, LossTerms]]

# XLA:CPU convolutions run several times slower inside a loop primitive than outside, so
# that there each step is dispatched from Python.
CPU_STEPS_PER_DISPATCH = 1
ACCELERATOR_STEPS_PER_DISPATCH = 25


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


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite.

    Attributes:
      step: of the first such loss.
      image: the last with a finite loss, in the network's units; a session finishes
        it into the picture to show.
    """

    def __init__(self, step: int, loss: float, image: np.ndarray):
        super().__init__(
            f"the loss became {loss} at step {step}: lower the learning rate or the "
            "weights"
        )
        self.step = step
        self.image = image


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


class CompiledSteps(NamedTuple):
    """A compiled chunk of steps.

    Attributes:
      advance: (state, length, *data) -> (state, TransferInfo with a leading axis of
        ``longest``, of which the first ``length`` rows are filled). ``state`` is
        donated: do not use it again.
      longest: the most steps that one dispatch does.
    """

    advance: Callable[..., tuple[TransferState, TransferInfo]]
    longest: int


def compile_steps(transfer: StyleTransfer, longest: int | None = None) -> CompiledSteps:
    """Compile the step: one per dispatch on CPU, chunks of steps elsewhere.

    Args:
      transfer: from ``style_transfer``.
      longest: the most steps per dispatch; by the default device where not given.

    Returns:
      The compiled chunk; nothing is traced before its first call, and once per shape.
    """
    if longest is None:
        on_cpu = jax.default_backend() == "cpu"
        longest = CPU_STEPS_PER_DISPATCH if on_cpu else ACCELERATOR_STEPS_PER_DISPATCH

    def single(
        state: TransferState, length: int, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        del length
        state, info = transfer.step(state, *data)
        return state, jax.tree.map(lambda leaf: leaf[None], info)

    def chunk(
        state: TransferState, length: ArrayLike, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        info_shapes = jax.eval_shape(transfer.step, state, *data)[1]
        rows = jax.tree.map(
            lambda leaf: jnp.zeros((longest, *leaf.shape), leaf.dtype), info_shapes
        )

        def body(
            index: Array, carry: tuple[TransferState, TransferInfo]
        ) -> tuple[TransferState, TransferInfo]:
            state, rows = carry
            state, info = transfer.step(state, *data)
            return state, jax.tree.map(
                lambda row, leaf: row.at[index].set(leaf), rows, info
            )

        return jax.lax.fori_loop(0, length, body, (state, rows))

    return CompiledSteps(
        jax.jit(single if longest == 1 else chunk, donate_argnums=0), longest
    )


def steps_of_gradient(
    loss_and_gradient: Callable[..., tuple[tuple[Array, LossTerms], Array]],
    update: UpdateFunction,
) -> CompiledSteps:
    """Steps whose loss and gradient are no single compiled function's.

    Args:
      loss_and_gradient: (image, step, *data) -> ((loss, LossTerms), ∂loss/∂image).
      update: from ``make_update``.

    Returns:
      As ``compile_steps``, of which each dispatch is one step.
    """

    def single(
        state: TransferState, loss: Array, terms: LossTerms, gradient: Array
    ) -> tuple[TransferState, TransferInfo]:
        state, info = update(state, loss, terms, gradient)
        return state, jax.tree.map(lambda leaf: leaf[None], info)

    compiled = jax.jit(single, donate_argnums=0)

    def advance(
        state: TransferState, length: int, *data: object
    ) -> tuple[TransferState, TransferInfo]:
        del length
        (loss, terms), gradient = loss_and_gradient(state.image, state.step, *data)
        return compiled(state, loss, terms, gradient)

    return CompiledSteps(advance, longest=1)


def run(
    steps: CompiledSteps,
    state: TransferState,
    data: tuple,
    num_steps: int,
    *,
    stops: Iterable[int] = (),
) -> Iterator[tuple[TransferState, TransferInfo]]:
    """Drive the state to ``num_steps`` updates, yielding after every dispatch.

    Args:
      steps: from ``compile_steps``.
      state: where to start; donated.
      data: what the loss takes beside the image.
      num_steps: how many updates the image has in the end.
      stops: steps at which a dispatch must end, for a snapshot or a checkpoint.

    Yields:
      The state, valid until the next iteration, and the infos of the updates since the
      last yield as NumPy arrays with a leading axis; row i belongs to the image before
      its update.

    Raises:
      NonFiniteLossError: at the first loss that is NaN or infinite.
    """
    done = int(state.step)
    remaining_stops = sorted({*(s for s in stops if done < s < num_steps), num_steps})
    for stop in remaining_stops:
        while done < stop:
            length = min(steps.longest, stop - done)
            state, rows = steps.advance(state, length, *data)
            info = to_host(rows, length)
            check_finite(info, done, state)
            done += length
            yield state, info


def to_host(rows: TransferInfo, length: int) -> TransferInfo:
    """The first ``length`` rows of a chunk's infos as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:length], rows)


def check_finite(info: TransferInfo, first_step: int, state: TransferState) -> None:
    """Raise ``NonFiniteLossError`` if one of the losses in ``info`` is not finite."""
    broken = np.flatnonzero(~np.isfinite(info.loss))
    if broken.size:
        raise NonFiniteLossError(
            first_step + int(broken[0]),
            float(info.loss[broken[0]]),
            np.asarray(state.finite_image),
        )
