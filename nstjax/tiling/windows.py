"""The network's activations in one window of an image, and where they lie."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nstjax.network.vgg import NetworkOptions, Params, activations_of
from nstjax.tiling.plan import Window, layer_size, stride


class LayerTile(NamedTuple):
    """Where a tile of a layer lies.

    Attributes:
      start: (row, column) of its first position in the layer, int32.
      core: [height, width] of the tile: 1 where its positions count, else 0.
      whole: (height, width) of the layer.
    """

    start: Array
    core: Array
    whole: tuple[int, int]

    def of(self, layer: Array) -> Array:
        """The tile of an array over the whole layer's positions."""
        starts = (*self.start, *(jnp.int32(0),) * (layer.ndim - 2))
        size = (*self.core.shape, *layer.shape[2:])
        return jax.lax.dynamic_slice(layer, starts, size)

    def find(self, positions: Array) -> tuple[Array, Array]:
        """Positions of the layer, row by row, as the tile's; 1 if in its core, else 0.

        A position that lies elsewhere is any of the tile's.
        """
        height, width = self.core.shape
        row = positions // self.whole[1] - self.start[0]
        column = positions % self.whole[1] - self.start[1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
        return row * width + column, inside * self.core[row, column]


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
    network: NetworkOptions,
) -> tuple[dict[str, Array], dict[str, LayerTile]]:
    """Activations of a window, and which of their positions count.

    In the window's core they are those of the whole image.

    Args:
      params: the network.
      pixels: of the window, from ``cut``.
      window: of a plan for the deepest of the layers.
      whole: (height, width) of the image.
      layers: which.
      network: how they are computed.
    """
    padding = network.pool_padding
    activations = activations_of(params, pixels, layers, network)

    def tile_of(layer: str) -> LayerTile:
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
        return LayerTile(start, core, (height, width))

    return activations, {layer: tile_of(layer) for layer in layers}
