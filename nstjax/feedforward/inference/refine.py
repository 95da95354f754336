"""Going on from a network's picture: updates of the image on the loss itself."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from nstjax.feedforward.inference.tiles import Progress
from nstjax.feedforward.networks.descent import STYLE_LAYERS, PaintingStyle
from nstjax.losses.objective import TransferData
from nstjax.losses.terms import Targets, Weights
from nstjax.network.vgg import (
    NetworkOptions,
    Params,
    Pool,
    activations_of,
    deprocess,
    preprocess,
)
from nstjax.optimization.optimizers import with_learning_rate
from nstjax.optimization.steps import run
from nstjax.presets.preset import Preset
from nstjax.presets.published import get_preset
from nstjax.presets.settings import learning_rate_of, with_settings
from nstjax.problem.compiled_transfer import compiled_transfer
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.tiling.targets import features_by_tiles

PRESET = "quick"


def refine(
    params: Params,
    scales: Mapping[str, float],
    photo: np.ndarray,
    image: np.ndarray,
    style: PaintingStyle,
    steps: int,
    *,
    pool: Pool,
    tile: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Updates of a picture by L-BFGS, on the loss of the preset quick.

    Its layers are those of the encoder: content at relu4_1, and no relu5_1. Before it
    was trained, its layers' outputs were multiplied by s (``scales``), Gram matrices so
    by s²: each term is divided by the factor that it was larger by, s² for content, s⁴
    for style.

    Args:
      params: the encoder.
      scales: of its convolutions.
      photo: sRGB in 0..1, [height, width, 3].
      image: where to start, likewise.
      style: of one painting.
      steps: how many updates.
      pool: of the encoder.
      tile: a multiple of 16: compute in tiles of about so many pixels on a side.
      progress: called with the updates that are done and all.

    Returns:
      sRGB in 0..1, [height, width, 3].
    """
    preset = with_settings(
        get_preset(PRESET),
        pool=pool,
        pool_padding="same",
        content_layers=("relu4_1",),
        style_layers=tuple(STYLE_LAYERS),
    )
    layers = preset.content_layers
    if tile is None:
        content = _features(params, photo, layers=layers, network=preset.network)
    else:
        options = (layers, preset.network, tile)
        content = features_by_tiles(params, preprocess(photo), *options)
    targets = Targets(content, dict(style.grams[-1]))
    weights = _weights(preset, scales)
    data = TransferData(params, targets, weights, jax.random.key(0), None)
    init, compiled = compiled_transfer(preset.loss, preset.optimizer, None, tile)
    state = init(preprocess(image))
    rate = with_learning_rate(state.opt_state, learning_rate_of(preset))
    state = state._replace(opt_state=rate)
    for state, _ in run(compiled, state, data, steps):
        if progress:
            progress(int(state.step), steps)
    return np.asarray(deprocess(state.image))


@functools.partial(memory_saving_jit, static_argnames=("layers", "network"))
def _features(
    params: Params, photo: np.ndarray, layers: tuple[str, ...], network: NetworkOptions
) -> dict[str, jax.Array]:
    return activations_of(params, preprocess(photo), layers, network)


def _weights(preset: Preset, scales: Mapping[str, float]) -> Weights:
    def by_layer(layers: tuple[str, ...], power: int) -> dict[str, jax.Array]:
        return {
            layer: jnp.float32(scales[layer.replace("relu", "conv")] ** -power)
            for layer in layers
        }

    return Weights(
        content=jnp.float32(preset.alpha),
        style=jnp.float32(preset.beta),
        tv=jnp.float32(preset.tv),
        content_layers=by_layer(preset.content_layers, 2),
        style_layers=by_layer(preset.style_layers, 4),
    )
