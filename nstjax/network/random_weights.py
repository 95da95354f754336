"""VGG-19's layers with random weights: what the architecture alone does."""

from collections.abc import Mapping

import jax
import numpy as np

from nstjax.network.architecture import (
    VGG19,
    Architecture,
    kernel_shapes,
    layer_channels,
)
from nstjax.network.vgg import Params

# Root mean square of VGG-19's convolutions over crops of photos and paintings (average
# pooling), as experiments/train_slim.py measures it.
VGG19_SCALES = {
    "conv1_1": 74.0,
    "conv1_2": 242.0,
    "conv2_1": 328.0,
    "conv2_2": 504.0,
    "conv3_1": 347.0,
    "conv3_2": 331.0,
    "conv3_3": 414.0,
    "conv3_4": 766.0,
    "conv4_1": 790.0,
    "conv4_2": 713.0,
    "conv4_3": 567.0,
    "conv4_4": 361.0,
    "conv5_1": 70.0,
    "conv5_2": 40.0,
    "conv5_3": 16.9,
    "conv5_4": 8.9,
}
IMAGE_SCALE = 70.0  # of a picture in 0..255 less the mean


def random_params(
    seed: int = 0,
    widths: Mapping[str, int] | None = None,
    architecture: Architecture = VGG19,
) -> Params:
    """Random kernels whose activations are about as large as VGG-19's.

    Kernels are normal with He's variance 2 / (9·channels in), which keeps the size of
    the activations, times the ratio of VGG-19's sizes at this layer and the one before;
    a narrower layer is the louder by √(VGG-19's channels / its channels). Weights of a
    preset then mean about the same as with VGG-19. Biases are 0.

    Args:
      seed: of the numbers.
      widths: {convB_I: channels}; VGG-19's where not given.
      architecture: whose layers there are.

    Returns:
      The params.

    Source:
      He, Wang and Hopcroft (2016), A powerful generative model using random weights.
    """
    rng = np.random.default_rng(seed)
    params: Params = {}
    # He's factor 2 makes up for a ReLU, which the image has not gone through.
    before = IMAGE_SCALE * 2**0.5
    for layer, shape in kernel_shapes(widths, architecture).items():
        scale = VGG19_SCALES[layer] * (layer_channels(layer) / shape[-1]) ** 0.5
        deviation = scale / before * np.sqrt(2 / np.prod(shape[:3]))
        kernel = deviation * rng.standard_normal(shape, np.float32)
        params[layer] = {
            "kernel": jax.device_put(np.float32(kernel)),
            "bias": jax.device_put(np.zeros(shape[-1], np.float32)),
        }
        before = scale
    return params
