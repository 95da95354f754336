"""A narrow network to train, for several tests."""

import jax
import numpy as np

from nstjax.network.layer_scales import scale_layers
from nstjax.network.random_weights import VGG19_SCALES, random_params


def unit_network(widths):
    """One whose activations have about unit size, as imitation's."""
    factors = {layer: 1 / scale for layer, scale in VGG19_SCALES.items()}
    params = jax.tree.map(np.asarray, random_params(0, widths))
    return jax.device_put(scale_layers(params, factors))
