"""Flicker, on still photos: what changes in a result where the photo only moves."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Of the flow that stands for a camera's and the objects' motion, in pixels.
LARGEST_SHIFT = 8.0
LARGEST_BEND = 4.0
BENDS = 4  # of the flow along each axis
NOISE = 1e-3  # of sRGB in 0..1
# Past the border there is nothing to move into the picture.
MARGIN = 16


def smooth_flow(key: Array, height: int, width: int) -> Array:
    """Where each pixel of a moved picture comes from: [height, width, 2], in pixels.

    A shift of up to ``LARGEST_SHIFT`` along each axis, and a smooth field whose
    standard deviation is up to ``LARGEST_BEND``/2, so that neighbors move alike.
    """
    shift_key, bend_key, size_key = jax.random.split(key, 3)
    shift = jax.random.uniform(
        shift_key, (1, 1, 2), minval=-LARGEST_SHIFT, maxval=LARGEST_SHIFT
    )
    bends = jax.random.normal(bend_key, (BENDS, BENDS, 2))
    size = jax.random.uniform(size_key, maxval=LARGEST_BEND / 2)
    return shift + size * jax.image.resize(bends, (height, width, 2), "cubic")


def warp(image: Array, flow: Array) -> Array:
    """y[p] = x[p + flow[p]], bilinear between pixels, the nearest one past the border.

    The image is [height, width, channels] and the flow [height, width, 2].
    """
    height, width, _ = image.shape
    rows, columns = jnp.mgrid[:height, :width]
    places = [rows + flow[..., 0], columns + flow[..., 1]]

    def moved(channel: Array) -> Array:
        result: Any = jax.scipy.ndimage.map_coordinates(
            channel, places, order=1, mode="nearest"
        )
        return result

    return jax.vmap(moved, -1, -1)(image)


def moved_photos(key: Array, photos: Array) -> tuple[Array, Array]:
    """Photos after a random motion each, with a little noise, and their flows."""
    flow_key, noise_key = jax.random.split(key)
    keys = jax.random.split(flow_key, len(photos))
    flows = jax.vmap(lambda key: smooth_flow(key, *photos.shape[1:3]))(keys)
    noise = NOISE * jax.random.normal(noise_key, photos.shape)
    return jax.vmap(warp)(photos, flows) + noise, flows


def flicker_loss(before: Array, after: Array, flows: Array) -> Array:
    """Mean |W(N(x)) - N(W(x) + ε)| of each picture, without a margin: [batch].

    ``before`` is N(x), the network's results for photos, and ``after`` those for the
    photos that ``moved_photos`` returns with the flows W. A network that renders each
    frame by itself flickers by as much where the camera or an object moves.

    Source:
      Wang, Yang et al. (2020), "Consistent Video Style Transfer via Relaxation and
      Regularization" (ReReVST), the loss on stills.
    """
    difference = jnp.abs(jax.vmap(warp)(before, flows) - after)
    _, height, width, _ = before.shape
    rows, columns = (
        slice(min(MARGIN, side // 4), side - min(MARGIN, side // 4))
        for side in (height, width)
    )
    return difference[:, rows, columns].mean((1, 2, 3))
