"""Steps of a transfer compiled, and the loop around them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.losses.terms import LossTerms
from nstjax.optimization.transfer import (
    StyleTransfer,
    TransferInfo,
    TransferState,
    UpdateFunction,
)
from nstjax.runtime.compilation import compile_ahead, cpu_compiler_options
from nstjax.runtime.memory import settle_memory
from nstjax.runtime.processes import to_numpy

# XLA:CPU convolutions run several times slower inside a loop primitive than outside, so
# that there each step is dispatched from Python.
CPU_STEPS_PER_DISPATCH = 1
ACCELERATOR_STEPS_PER_DISPATCH = 25


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
      longest: the most steps per dispatch; if not given, it depends on the device.

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
        jax.jit(
            single if longest == 1 else chunk,
            donate_argnums=0,
            compiler_options=cpu_compiler_options(),
        ),
        longest,
    )


def steps_of_gradient(
    loss_and_gradient: Callable[..., tuple[tuple[Array, LossTerms], Array]],
    update: UpdateFunction,
) -> CompiledSteps:
    """Steps whose loss and gradient come from several compiled functions.

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

    compiled = jax.jit(
        single, donate_argnums=0, compiler_options=cpu_compiler_options()
    )

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
      stops: steps at which a dispatch must end, for a snapshot or a checkpoint, in
        order.

    Yields:
      The state, valid until the next iteration, and the infos of the updates since the
      last yield as NumPy arrays with a leading axis; row i belongs to the image before
      its update.

    Raises:
      NonFiniteLossError: at the first loss that is NaN or infinite.
    """
    compile_ahead(steps.advance, state, 1, *data)
    done = first = int(state.step)
    for stop in itertools.chain(stops, [num_steps]):
        while done < min(stop, num_steps):
            length = min(steps.longest, min(stop, num_steps) - done)
            settle_memory(done - first)
            state, rows = steps.advance(state, length, *data)
            info = to_host(rows, length)
            check_finite(info, done, state)
            done += length
            yield state, info
        # The stops may be endless.
        if done == num_steps:
            return


def to_host(rows: TransferInfo, length: int) -> TransferInfo:
    """The first ``length`` rows of a chunk's infos as NumPy arrays."""
    return jax.tree.map(lambda leaf: to_numpy(leaf)[:length], rows)


def check_finite(info: TransferInfo, first_step: int, state: TransferState) -> None:
    """Raise ``NonFiniteLossError`` if one of the losses in ``info`` is not finite."""
    broken = np.flatnonzero(~np.isfinite(info.loss))
    if broken.size:
        raise NonFiniteLossError(
            first_step + int(broken[0]),
            float(info.loss[broken[0]]),
            to_numpy(state.finite_image),
        )
