"""A discriminator that tells patches of paintings from those of restyled photos.

It looks at features of a fixed VGG, not at pixels: the distribution that it compares is
that of a layer's activations.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nstjax.feedforward.networks.convolution import Convolution

LEAK = 0.2


class PatchDiscriminator(nnx.Module):
    """Three convolutions from features to one number for each patch and style.

    Source:
      Isola et al. (2017), PatchGAN; Li and Wand (2016) on VGG features.
    """

    def __init__(
        self, channels_in: int, styles: int, width: int = 64, *, rngs: nnx.Rngs
    ):
        self.first = Convolution(channels_in, width, 3, rngs=rngs)
        self.second = Convolution(width, width, 3, stride=2, rngs=rngs)
        self.last = Convolution(width, styles, 1, rngs=rngs)

    def __call__(self, activation: Array, style: Array) -> Array:
        """How much each patch looks like a painting in its style.

        Args:
          activation: features of about unit size, [batch, height, width, channels].
          style: index of each picture's style, [batch].

        Returns:
          [batch, height', width'].
        """
        hidden = jax.nn.leaky_relu(self.first(activation, 1), LEAK)
        hidden = jax.nn.leaky_relu(self.second(hidden, 1), LEAK)
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
