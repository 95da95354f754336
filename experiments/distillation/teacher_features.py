"""VGG-19's features of pictures, and a narrow network's in the same units."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nstjax.network.architecture import CONV_LAYERS, VGG19, layer_channels
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, Pool, features, preprocess
from nstjax.statistics.gram import gram_matrix

BLOCKS = len(VGG19.blocks)
# All presets match content here, and style elsewhere.
CONTENT_LAYER = "conv4_2"


class Teacher(NamedTuple):
    """VGG-19, and the root mean square of each convolution's output."""

    params: Params
    scales: dict[str, float]


class Batch(NamedTuple):
    """Pictures with VGG-19's features, kept in half precision to be many."""

    # sRGB, not cut to 0..1, float16 [pictures, size, size, 3].
    pictures: np.ndarray
    # Sampled of each block's rows·columns, int32 [pictures, blocks, samples].
    positions: np.ndarray
    # {convB_I: activation in its scale's units, float16 [pictures, samples, channels]}.
    teacher: dict[str, np.ndarray]


def sampled_features(
    params: Params, pictures: ArrayLike, positions: ArrayLike, pool: Pool
) -> dict[str, Array]:
    """{convB_I: activation at a batch's positions [pictures, samples, channels]}."""

    def of_one(picture: Array, rows: Array) -> dict[str, Array]:
        activations = features(params, preprocess(picture), CONV_LAYERS, pool=pool)
        return {
            layer: activation.reshape(-1, activation.shape[-1])[rows[int(layer[4]) - 1]]
            for layer, activation in activations.items()
        }

    return jax.vmap(of_one)(jnp.asarray(pictures, jnp.float32), jnp.asarray(positions))


_sampled_features = jax.jit(sampled_features, static_argnames="pool")


def scaled_teacher(
    params: Params, pictures: np.ndarray, rng: np.random.Generator
) -> Teacher:
    """VGG-19 with its scales over the given pictures."""
    positions = sample_positions(rng, pictures.shape, samples=256)
    activations = _sampled_features(params, pictures, positions, "avg")
    scales = {
        layer: float(np.sqrt(np.square(activation).mean()))
        for layer, activation in activations.items()
    }
    return Teacher(params, scales)


def sample_positions(
    rng: np.random.Generator, shape: Sequence[int], samples: int
) -> np.ndarray:
    """Positions of each block, drawn with replacement, for pictures of that shape."""
    count, height, width = shape[:3]
    sizes = [(height >> block) * (width >> block) for block in range(BLOCKS)]
    drawn = [rng.integers(0, size, (count, samples)) for size in sizes]
    return np.stack(drawn, axis=1).astype(np.int32)


def with_teacher_features(
    teacher: Teacher, pictures: np.ndarray, positions: np.ndarray, pool: Pool
) -> Batch:
    """Pictures, sRGB [pictures, size, size, 3], with what is to be imitated there."""
    # The teacher sees what is kept.
    pictures = pictures.astype(np.float16)
    activations = _sampled_features(teacher.params, pictures, positions, pool)
    scaled = {
        layer: np.asarray(activation / teacher.scales[layer], np.float16)
        for layer, activation in activations.items()
    }
    return Batch(pictures, positions, scaled)


def in_vgg_units(params: Params, scales: dict[str, float]) -> Params:
    """A student in training as the same function, with kernels that are VGG-19's own.

    While it is trained, the mean over a student's c_l channels is to equal the mean
    over VGG-19's C_l, in units of each layer's scale s_l: F Fᵀ/c = T Tᵀ/(s² C). Scaled
    by s_l·√(C_l/c_l), each layer has F Fᵀ = T Tᵀ.
    """
    wider = {
        layer: layer_channels(layer) / params[layer]["bias"].size
        for layer in CONV_LAYERS
    }
    factors = {layer: scales[layer] * wider[layer] ** 0.5 for layer in CONV_LAYERS}
    return scale_layers(params, factors)


def calibrate(
    params: Params,
    teacher: Params,
    contents: np.ndarray,
    styles: np.ndarray,
    results: np.ndarray,
) -> Params:
    """Scale each layer so that its losses are VGG-19's in the geometric mean.

    A network that cannot follow all of VGG-19's kernel is trained to follow it timidly:
    its activations differ less between pictures. Style losses of photos against
    paintings grow with the fourth power of a layer's factor, content losses of results
    (pictures on the way from each photo to its painting) against photos with the
    second. Pictures are sRGB [pictures, size, size, 3], params in VGG-19's units.
    """
    logs = []
    for pictures in zip(contents, styles, results, strict=True):
        own, wanted = (_losses(network, *pictures) for network in (params, teacher))
        logs.append([float(jnp.log(o / w)) for o, w in zip(own, wanted, strict=True)])
    factors = {}
    for layer, mean in zip(CONV_LAYERS, np.mean(logs, axis=0), strict=True):
        factors[layer] = np.exp(-mean / (2 if layer == CONTENT_LAYER else 4))
    return scale_layers(params, factors)


@jax.jit
def _losses(params: Params, *pictures: Array) -> list[Array]:
    """Each layer's loss: of content where presets match content, of style elsewhere."""
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]
    content, style, result = (
        features(params, preprocess(picture), relus) for picture in pictures
    )
    errors = [
        result[relu] - content[relu]
        if layer == CONTENT_LAYER
        else gram_matrix(content[relu]) - gram_matrix(style[relu])
        for layer, relu in zip(CONV_LAYERS, relus, strict=True)
    ]
    return [jnp.square(error).sum() for error in errors]
