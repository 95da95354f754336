"""What VGG-19 says about pictures, at some positions of each layer."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import (
    CONV_LAYERS,
    VGG19,
    Params,
    Pool,
    features,
    layer_channels,
    preprocess,
)

BLOCKS = len(VGG19.blocks)
Scales = dict[str, float]


class Batch(NamedTuple):
    """Pictures with VGG-19's activations, kept in half precision to be many.

    Attributes:
      pictures: sRGB, not cut to 0..1, float16 [pictures, size, size, 3].
      positions: what was sampled of each block's rows·columns, int32
        [pictures, blocks, samples].
      teacher: {convB_I: activation in units of its scale, float16
        [pictures, samples, channels]}.
    """

    pictures: np.ndarray
    positions: np.ndarray
    teacher: dict[str, np.ndarray]


def sampled_features(
    params: Params, pictures: ArrayLike, positions: ArrayLike, pool: Pool
) -> dict[str, Array]:
    """Every convolution's activation at the sampled positions.

    Args:
      params: the network.
      pictures: sRGB, shape [pictures, size, size, 3].
      positions: shape [pictures, blocks, samples], see ``Batch``.
      pool: of the network.

    Returns:
      {convB_I: [pictures, samples, channels]}.
    """

    def of_one(picture: Array, rows: Array) -> dict[str, Array]:
        activations = features(params, preprocess(picture), CONV_LAYERS, pool=pool)
        return {
            layer: activation.reshape(-1, activation.shape[-1])[rows[int(layer[4]) - 1]]
            for layer, activation in activations.items()
        }

    return jax.vmap(of_one)(jnp.asarray(pictures, jnp.float32), jnp.asarray(positions))


_sampled_features = jax.jit(sampled_features, static_argnames="pool")


def layer_scales(
    teacher: Params, pictures: np.ndarray, rng: np.random.Generator
) -> Scales:
    """Root mean square of each convolution's output, over the given pictures."""
    positions = sample_positions(rng, pictures.shape, samples=256)
    activations = _sampled_features(teacher, pictures, positions, "avg")
    return {
        layer: float(np.sqrt(np.square(activation).mean()))
        for layer, activation in activations.items()
    }


def sample_positions(
    rng: np.random.Generator, shape: Sequence[int], samples: int
) -> np.ndarray:
    """Positions of each block, drawn with replacement, for pictures of that shape."""
    count, height, width = shape[:3]
    sizes = [(height >> block) * (width >> block) for block in range(BLOCKS)]
    drawn = [rng.integers(0, size, (count, samples)) for size in sizes]
    return np.stack(drawn, axis=1).astype(np.int32)


def label(
    teacher: Params,
    scales: Scales,
    pictures: np.ndarray,
    positions: np.ndarray,
    pool: Pool,
) -> Batch:
    """Show pictures to VGG-19.

    Args:
      teacher: VGG-19's params.
      scales: from ``layer_scales``.
      pictures: sRGB, float32 [pictures, size, size, 3].
      positions: from ``sample_positions``.
      pool: of the network.

    Returns:
      What the student is to imitate.
    """
    # The teacher sees what is kept.
    pictures = pictures.astype(np.float16)
    activations = _sampled_features(teacher, pictures, positions, pool)
    return Batch(
        pictures,
        positions,
        {
            layer: np.asarray(activation / scales[layer], np.float16)
            for layer, activation in activations.items()
        },
    )


def in_vgg_units(params: Params, scales: Scales) -> Params:
    """A student's params for activations whose kernels are VGG-19's own.

    While it is trained, the mean over a student's c_l channels is to equal the mean
    over VGG-19's C_l, in units of each layer's scale s_l: F Fᵀ/c = T Tᵀ/(s² C). Scaled
    by s_l·√(C_l/c_l), each layer has F Fᵀ = T Tᵀ.

    Args:
      params: the student as it is trained.
      scales: from ``layer_scales``.

    Returns:
      The same function in VGG-19's units.
    """
    return scale_layers(
        params,
        {
            layer: scales[layer]
            * (layer_channels(layer) / params[layer]["bias"].size) ** 0.5
            for layer in CONV_LAYERS
        },
    )
