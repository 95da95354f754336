"""A discriminator that tells patches of paintings from those of restyled photos.

It looks at features of a fixed VGG, not at pixels: the distribution that it compares is
that of a layer's activations.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from nstjax.feedforward.networks.convolution import make_convolution
from nstjax.feedforward.training.objective import Batch, batch_features
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset

# So many updates in a row whose gradient is not finite are left out.
MOST_NONFINITE = 10
LEAK = 0.2


class PatchDiscriminator(nnx.Module):
    """Three convolutions from features to one number for each patch and style.

    Source:
      Isola et al. (2017), PatchGAN; Li and Wand (2016) on VGG features.
    """

    def __init__(
        self, channels_in: int, styles: int, width: int = 64, *, rngs: nnx.Rngs
    ):
        self.first = make_convolution(channels_in, width, 3, 1, rngs=rngs)
        self.second = make_convolution(width, width, 3, 1, stride=2, rngs=rngs)
        self.last = make_convolution(width, styles, 1, 0, rngs=rngs)

    def __call__(self, activation: Array, style: Array) -> Array:
        """How much each patch looks like a painting in its style, [batch, h', w'].

        Features are of about unit size, [batch, height, width, channels].
        """
        hidden = jax.nn.leaky_relu(self.first(activation), LEAK)
        hidden = jax.nn.leaky_relu(self.second(hidden), LEAK)
        scores = self.last(hidden)
        return jnp.take_along_axis(scores, style[:, None, None, None], axis=3)[..., 0]


def discriminator_loss(painting_scores: Array, restyled_scores: Array) -> Array:
    """Hinge: mean max(0, 1 - D(painting)) + mean max(0, 1 + D(restyled)).

    Source:
      Lim and Ye (2017), "Geometric GAN".
    """
    of_paintings = jax.nn.relu(1.0 - painting_scores).mean()
    return of_paintings + jax.nn.relu(1.0 + restyled_scores).mean()


def generator_loss(restyled_scores: Array) -> Array:
    """-mean D(restyled), what the network lowers."""
    return -restyled_scores.mean()


class Adversary(NamedTuple):
    """A discriminator's state; features are divided by ``scale``, [channels]."""

    network: nnx.State
    opt_state: optax.OptState
    scale: Array


class Discrimination(NamedTuple):
    """How a ``PatchDiscriminator`` sees a layer of the fixed network and is trained."""

    graph: Any
    optimizer: optax.GradientTransformation
    layer: str
    loss: Preset

    def scores(
        self, adversary: Adversary, params: Params, images: Array, style: Array
    ) -> Array:
        """What the discriminator says of pictures [batch, height, width, 3] in 0..1."""
        seen = batch_features(params, self.loss, images, [self.layer])[self.layer]
        network: PatchDiscriminator = nnx.merge(self.graph, adversary.network)
        return network(seen / adversary.scale[None, None, None, :], style)

    def update(
        self, adversary: Adversary, params: Params, batch: Batch, output: Array
    ) -> tuple[Adversary, Array]:
        """One step of the discriminator; returns its loss before it."""
        painting = batch.painting
        assert painting is not None

        def loss(network: nnx.State) -> Array:
            moved = adversary._replace(network=network)
            of_paintings, of_outputs = (
                self.scores(moved, params, images, batch.style)
                for images in (painting, jax.lax.stop_gradient(output))
            )
            return discriminator_loss(of_paintings, of_outputs)

        value, gradient = jax.value_and_grad(loss)(adversary.network)
        network, opt_state, scale = adversary
        updates, opt_state = self.optimizer.update(gradient, opt_state, network)
        return Adversary(optax.apply_updates(network, updates), opt_state, scale), value


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

    Features of ``paintings``, crops in 0..1, are scaled to a root mean square of 1.
    """
    optimizer = optax.apply_if_finite(
        optax.adam(learning_rate, b1=0.5, b2=0.9), MOST_NONFINITE
    )
    seen = batch_features(params, loss, paintings, [layer])[layer]
    network = PatchDiscriminator(seen.shape[-1], styles, rngs=nnx.Rngs(seed))
    graph, state = nnx.split(network)
    scale = jnp.sqrt(jnp.square(seen).mean((0, 1, 2)) + 1e-6)
    adversary = Adversary(state, optimizer.init(state), scale)
    return Discrimination(graph, optimizer, layer, loss), adversary
