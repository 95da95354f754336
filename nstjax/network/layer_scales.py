"""A network whose layers' outputs are multiplied by factors."""

from collections.abc import Mapping

from jax.typing import ArrayLike

from nstjax.network.architecture import architecture_of
from nstjax.network.vgg import Params


def scale_layers(params: Params, factors: Mapping[str, ArrayLike]) -> Params:
    """Multiply each convolution's output by its factor, and nothing else.

    ReLU and pooling commute with positive factors, so that the next kernel is divided
    by what its input was multiplied by.

    Args:
      params: the network.
      factors: {convB_I: positive factor}.

    Returns:
      The same function but for the sizes of its activations.
    """
    scaled: Params = {}
    before: ArrayLike = 1.0
    for layer in architecture_of(params).convolutions:
        kernel, bias = params[layer]["kernel"], params[layer]["bias"]
        scaled[layer] = {
            "kernel": kernel * (factors[layer] / before),
            "bias": bias * factors[layer],
        }
        before = factors[layer]
    return scaled
