"""Training a feed-forward network: a state and one compiled step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array
from jax.sharding import Sharding

from nstjax.errors import InputError
from nstjax.feedforward.networks.networks import Network
from nstjax.feedforward.training.adversary import (
    MOST_NONFINITE,
    Adversary,
    Discrimination,
    generator_loss,
)
from nstjax.feedforward.training.objective import (
    Batch,
    LossFunction,
    Objective,
    TrainingTerms,
)
from nstjax.runtime.compilation import cpu_compiler_options
from nstjax.runtime.mesh import batch_shardings


class TrainingState(NamedTuple):
    """What the next step needs.

    ``rest`` are the network's parameters that are not trained and its batch statistics;
    ``step`` is how many updates there have been, and ``average`` the moving average of
    what is trained, which becomes the model, or None.
    """

    trained: nnx.State
    rest: nnx.State
    opt_state: optax.OptState
    adversary: Adversary | None
    step: Array
    average: nnx.State | None = None

    @property
    def shown(self) -> nnx.State:
        """What of the trained parameters becomes the model."""
        return self.trained if self.average is None else self.average


class TrainingInfo(NamedTuple):
    """What a step tells: the batch's loss with the adversarial one, and mean terms.

    ``nonfinite`` is how many updates in a row were left out, this one included;
    ``adversarial`` the network's and the discriminator's hinge losses, or None.
    """

    loss: Array
    terms: TrainingTerms
    gradient_norm: Array
    nonfinite: Array
    adversarial: tuple[Array, Array] | None


class Training(NamedTuple):
    """Init and step, which is donated its state, and a way back to a network.

    ``step`` takes state, batch, objective and the adversarial loss's weight;
    ``evaluate``, of the first three, gives loss, mean terms and output, without an
    update; ``network`` is for inference.
    """

    init: Callable[[Network, Adversary | None], TrainingState]
    step: Callable[..., tuple[TrainingState, TrainingInfo]]
    evaluate: jax.stages.Wrapped
    network: Callable[[TrainingState], Network]


def make_training(
    network: Network,
    loss_fn: LossFunction,
    optimizer: optax.GradientTransformation,
    *,
    trained: nnx.filterlib.Filter = nnx.Param,
    discriminator: Discrimination | None = None,
    average_decay: float = 0.0,
) -> Training:
    """Training of a network's structure, all of it or what a filter of Flax leaves.

    Updates that are not finite are left out. ``trained=StyleTable`` trains γ and β
    only; a discriminator adds an adversarial loss. With an average decay d the model is
    the moving average a ← a + (1 - d)(w - a) of the weights w; over the first updates d
    is (1 + n)/(10 + n) at most, so that the start is soon forgotten.
    """
    graph = nnx.split(network, trained, ...)[0]
    guarded = optax.apply_if_finite(optimizer, MOST_NONFINITE)

    def merged(trained_state: nnx.State, rest: nnx.State, training: bool) -> Network:
        # Copied, because a batch's statistics are written into the network.
        result: Network = nnx.merge(graph, trained_state, rest, copy=True)
        result.set_attributes(
            use_running_average=not training, raise_if_not_found=False
        )
        return result

    def init(network: Network, adversary: Adversary | None) -> TrainingState:
        trained_state, rest = nnx.state(network, trained, ...)
        # The state is donated to the first step: the network keeps its own arrays.
        trained_state, rest = jax.tree.map(jnp.copy, (trained_state, rest))
        average = jax.tree.map(jnp.copy, trained_state) if average_decay else None
        opt_state = guarded.init(trained_state)
        return TrainingState(
            trained_state, rest, opt_state, adversary, jnp.int32(0), average
        )

    def step(
        state: TrainingState, batch: Batch, objective: Objective, hinge_weight: Array
    ) -> tuple[TrainingState, TrainingInfo]:
        def total(trained_state: nnx.State) -> tuple[Array, Any]:
            network = merged(trained_state, state.rest, True)
            loss, (terms, output) = loss_fn(network, batch, objective, state.step)
            hinge = None
            if discriminator is not None and state.adversary is not None:
                scores = discriminator.scores(
                    state.adversary, objective.params, output, batch.style
                )
                hinge = generator_loss(scores)
                loss = loss + hinge_weight * hinge
            _, rest = nnx.state(network, trained, ...)
            return loss, (terms, output, rest, hinge)

        (loss, (terms, output, rest, hinge)), gradient = jax.value_and_grad(
            total, has_aux=True
        )(state.trained)
        updates, opt_state = guarded.update(gradient, state.opt_state, state.trained)
        adversary, adversarial = state.adversary, None
        if discriminator is not None and adversary is not None:
            adversary, its_loss = discriminator.update(
                adversary, objective.params, batch, output
            )
            adversarial = (hinge, its_loss)
        finite = opt_state.last_finite
        rest = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), rest, state.rest
        )
        moved = optax.apply_updates(state.trained, updates)
        average, count = state.average, state.step.astype(jnp.float32)
        if average is not None:
            decay = jnp.minimum(average_decay, (1 + count) / (10 + count))
            average = optax.tree.add_scale(
                average, 1 - decay, optax.tree.sub(moved, average)
            )
        norm, left_out = optax.tree.norm(gradient), opt_state.notfinite_count
        info = TrainingInfo(loss, _mean(terms), norm, left_out, adversarial)
        step = state.step + 1
        return TrainingState(moved, rest, opt_state, adversary, step, average), info

    def evaluate(
        state: TrainingState, batch: Batch, objective: Objective
    ) -> tuple[Array, TrainingTerms, Array]:
        network = merged(state.shown, state.rest, False)
        # Always the same samples, so that two evaluations can be compared.
        loss, (terms, output) = loss_fn(network, batch, objective, jnp.int32(0))
        return loss, _mean(terms), output

    options = cpu_compiler_options()
    return Training(
        init,
        jax.jit(step, donate_argnums=0, compiler_options=options),
        jax.jit(evaluate, compiler_options=options),
        lambda state: merged(state.shown, state.rest, False),
    )


def _mean(terms: TrainingTerms) -> TrainingTerms:
    return jax.tree.map(lambda values: values.mean(0), terms)


def picture_shardings(batch_size: int) -> tuple[Sharding, Sharding]:
    """Where a batch lies, its pictures split over the devices, and where the rest.

    As many devices are used as divide the batch; of several processes all are needed.
    """
    devices = jax.device_count()
    used = math.gcd(devices, batch_size)
    if jax.process_count() > 1 and used < devices:
        raise InputError(
            f"batches of {batch_size} photos leave out some of the {devices} devices "
            f"of {jax.process_count()} processes: give a --batch_size that {devices} "
            "divides"
        )
    return batch_shardings(used, "pictures")


def check_finite(info: TrainingInfo, step: int) -> None:
    """Raise ``InputError`` once too many updates in a row were not finite."""
    if int(info.nonfinite) >= MOST_NONFINITE:
        raise InputError(
            f"the loss was not finite {MOST_NONFINITE} times in a row, up to step "
            f"{step}: lower --learning_rate or the weights"
        )
