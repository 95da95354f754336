"""A discriminator in training: the adversarial loss beside a network's own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from nstjax.feedforward.networks.discriminator import (
    PatchDiscriminator,
    discriminator_loss,
)
from nstjax.feedforward.training.objective import Batch, batch_features
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset

# So many updates in a row whose gradient is not finite are left out.
MOST_NONFINITE = 10


class Adversary(NamedTuple):
    """A discriminator in training.

    Attributes:
      network: its state.
      opt_state: its optimizer's.
      scale: what features are divided by, [channels].
    """

    network: nnx.State
    opt_state: optax.OptState
    scale: Array


class Discrimination(NamedTuple):
    """How a discriminator sees pictures and is trained.

    Attributes:
      graph: of a ``PatchDiscriminator``.
      optimizer: its own.
      layer: of the fixed network, what it sees.
      loss: settings of the loss, for the fixed network's pooling.
    """

    graph: Any
    optimizer: optax.GradientTransformation
    layer: str
    loss: Preset

    def activations(self, params: Params, images: Array) -> Array:
        """The layer's features of pictures [batch, height, width, 3] in 0..1."""
        return batch_features(params, self.loss, images, [self.layer])[self.layer]

    def scores(
        self,
        network: nnx.State,
        scale: Array,
        params: Params,
        images: Array,
        style: Array,
    ) -> Array:
        """What the discriminator says of pictures."""
        seen = self.activations(params, images) / scale[None, None, None, :]
        result: Array = nnx.merge(self.graph, network)(seen, style)
        return result

    def update(
        self, adversary: Adversary, params: Params, batch: Batch, output: Array
    ) -> tuple[Adversary, Array]:
        """One step of the discriminator; returns its loss before it."""
        painting = batch.painting
        assert painting is not None

        def loss(network: nnx.State) -> Array:
            of_paintings, of_outputs = (
                self.scores(network, adversary.scale, params, images, batch.style)
                for images in (painting, jax.lax.stop_gradient(output))
            )
            return discriminator_loss(of_paintings, of_outputs)

        value, gradient = jax.value_and_grad(loss)(adversary.network)
        updates, opt_state = self.optimizer.update(
            gradient, adversary.opt_state, adversary.network
        )
        network = optax.apply_updates(adversary.network, updates)
        return Adversary(network, opt_state, adversary.scale), value


def make_adversary(
    params: Params,
    loss: Preset,
    layer: str,
    paintings: Array,
    styles: int,
    learning_rate: float,
    seed: int,
) -> tuple[Discrimination, Adversary]:
    """A discriminator on ``layer`` and its first state.

    Args:
      params: the fixed network.
      loss: settings of the loss.
      layer: such as "relu3_1".
      paintings: crops, sRGB in 0..1, [pictures, size, size, 3]: their features' root
        mean square becomes 1.
      styles: how many.
      learning_rate: of its Adam.
      seed: of its weights.
    """
    optimizer = optax.apply_if_finite(
        optax.adam(learning_rate, b1=0.5, b2=0.9), MOST_NONFINITE
    )
    discrimination = Discrimination(None, optimizer, layer, loss)
    seen = discrimination.activations(params, paintings)
    network = PatchDiscriminator(seen.shape[-1], styles, rngs=nnx.Rngs(seed))
    graph, state = nnx.split(network)
    scale = jnp.sqrt(jnp.square(seen).mean((0, 1, 2)) + 1e-6)
    return discrimination._replace(graph=graph), Adversary(
        state, optimizer.init(state), scale
    )
