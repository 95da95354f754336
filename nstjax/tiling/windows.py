"""The network's activations in one window of an image, and where they lie."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.network.vgg import Params, features
from nstjax.tiling.plan import Window, layer_size, stride


class Part(NamedTuple):
    """Where a part of a layer lies.

    Attributes:
      start: (row, column) of its first position in the layer, int32.
      core: [height, width] of the part: 1 where its positions count, else 0.
      whole: (height, width) of the layer.
    """

    start: Array
    core: Array
    whole: tuple[int, int]

    def of(self, layer: Array) -> Array:
        """The part of an array over the whole layer's positions."""
        starts = (*self.start, *(jnp.int32(0),) * (layer.ndim - 2))
        size = (*self.core.shape, *layer.shape[2:])
        return jax.lax.dynamic_slice(layer, starts, size)


def cut(image: Array, window: Window, size: tuple[int, int]) -> Array:
    """A window of an image [height, width, c]."""
    return jax.lax.dynamic_slice(image, corner(window), (*size, image.shape[2]))


def corner(window: Window) -> tuple[Array, ...]:
    """Where a window begins in an array [height, width, c]."""
    return (*window.start, jnp.int32(0))


def tile_features(
    params: Params,
    pixels: Array,
    window: Window,
    whole: tuple[int, ...],
    layers: Sequence[str],
    network: Mapping[str, Any],
) -> tuple[dict[str, Array], dict[str, Part]]:
    """Activations of a window, and which of their positions count.

    In the window's core they are those of the whole image.

    Args:
      params: the network.
      pixels: of the window, from ``cut``.
      window: of a plan for the deepest of the layers.
      whole: (height, width) of the image.
      layers: which.
      network: keyword arguments of ``nstjax.features``.
    """
    padding = network["pool_padding"]
    activations = features(params, pixels, layers, **network)

    def part_of(layer: str) -> Part:
        activation = activations[layer]
        rows, columns = (
            (jnp.arange(side) >= low) & (jnp.arange(side) < high)
            for side, low, high in zip(
                activation.shape,
                layer_size(window.core_start, layer, padding),
                layer_size(window.core_end, layer, padding),
                strict=False,
            )
        )
        core = (rows[:, None] & columns[None, :]).astype(activation.dtype)
        height, width = (layer_size(side, layer, padding) for side in whole)
        start = jnp.asarray(window.start) // stride(layer)
        return Part(start, core, (height, width))

    return activations, {layer: part_of(layer) for layer in layers}
