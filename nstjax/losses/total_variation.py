"""Roughness of an image, in every published form."""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

TotalVariationForm = Literal[
    "squared",
    "mean_squared",
    "mean_squared_replicate",
    "l1",
    "nine_point",
    "power",
]


def total_variation(image: ArrayLike, form: TotalVariationForm = "squared") -> Array:
    """Roughness of an image: differences dx, dy between neighbouring pixels.

    squared: ½ Σ (dx² + dy²) over pixels with both neighbours   (Johnson)
    mean_squared: mean dx² + mean dy²   (Athalye)
    mean_squared_replicate: mean (dx² + dy²) over all pixels, 0 past the last row and
      column   (Crowson 2021)
    l1: Σ |dx| + Σ |dy|   (neural-style-pt)
    nine_point: 2 (mean dx² / 3 + mean dy² / 3 + mean d↘² / 12 + mean d↙² / 12), dx and
      dy as in mean_squared_replicate, the diagonal differences d of the image with its
      border repeated once around it   (Crowson 2023)
    power: Σ (dx² + dy²)^1.25 over pixels with both neighbours   (titu1994)

    Args:
      image: shape [height, width, 3], in the network's units.
      form: one of the names above.

    Returns:
      Scalar.
    """
    image = jnp.asarray(image)
    dx = image[:, 1:] - image[:, :-1]
    dy = image[1:, :] - image[:-1, :]
    if form == "squared":
        return 0.5 * (jnp.square(dx[:-1]).sum() + jnp.square(dy[:, :-1]).sum())
    if form == "mean_squared":
        return jnp.square(dx).mean() + jnp.square(dy).mean()
    if form == "mean_squared_replicate":
        return _mean_of_squares(dx, dy, image.size)
    if form == "l1":
        return jnp.abs(dx).sum() + jnp.abs(dy).sum()
    if form == "power":
        squares = jnp.square(dx[:-1]) + jnp.square(dy[:, :-1])
        return jnp.power(squares, 1.25).sum()
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    down = padded[1:, 1:] - padded[:-1, :-1]
    up = padded[1:, :-1] - padded[:-1, 1:]
    straight = _mean_of_squares(dx, dy, image.size)
    return 2.0 * (straight / 3 + _mean_of_squares(down, up, down.size) / 12)


def _mean_of_squares(a: Array, b: Array, count: int) -> Array:
    return (jnp.square(a).sum() + jnp.square(b).sum()) / count
