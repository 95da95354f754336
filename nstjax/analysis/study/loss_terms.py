"""The terms of a loss as functions of the image, in float32 and in float64.

A term is the total loss (with the run's alpha and beta), the content loss or the style
loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.losses.objective import LossFunction, TransferData

TERMS = ("total", "content", "style")
NEGLIGIBLE_SHARE = 1e-6
BATCH = 8  # images at once

# Images [n, height, width, 3] -> {term: [n]}.
Terms = Callable[[np.ndarray], dict[str, np.ndarray]]


class Evaluators(NamedTuple):
    """How the terms are evaluated, and the relative error of a float32 value."""

    epsilon: dict[str, float]
    batches: Terms
    one_by_one: Terms
    double: Terms


def make_terms(
    loss_fn: LossFunction, data: TransferData, batch: int, dtype: Any = np.float32
) -> Terms:
    """The terms as a run sees them or in float64, so many images in one dispatch."""

    def all_terms(image: Array, data: TransferData) -> list[Array]:
        loss, parts = loss_fn(image, jnp.int32(0), *data)
        return [loss, parts.content, parts.style]

    def typed(leaf: Any) -> Any:
        other = jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != dtype
        return np.asarray(leaf, dtype) if other else leaf

    compiled = jax.jit(jax.vmap(all_terms, in_axes=(0, None)))

    def evaluate(images: np.ndarray) -> dict[str, np.ndarray]:
        rows = []
        with (
            jax.enable_x64(dtype == np.float64),
            jax.default_matmul_precision("highest"),
        ):
            own = jax.tree.map(typed, data)
            for first in range(0, len(images), batch):
                part = np.asarray(images[first : first + batch], dtype)
                padding = [(0, batch - len(part)), (0, 0), (0, 0), (0, 0)]
                values = compiled(np.pad(part, padding, "edge"), own)
                rows.append(np.asarray(values, np.float64)[:, : len(part)])
        return dict(zip(TERMS, np.concatenate(rows, axis=1), strict=True))

    return evaluate


def make_evaluators(
    loss_fn: LossFunction, data: TransferData, images: np.ndarray
) -> Evaluators:
    """All of them, with the largest rounding error over some images."""
    batches, one_by_one = (make_terms(loss_fn, data, count) for count in (BATCH, 1))
    double = make_terms(loss_fn, data, 1, np.float64)
    epsilon = rounding_error(batches, double, images)
    return Evaluators(epsilon, batches, one_by_one, double)


def rounding_error(
    single: Terms, double: Terms, images: np.ndarray
) -> dict[str, float]:
    """Largest relative difference of float32 from float64 over some images, by term.

    A value below 1e-6 of their median, such as the content loss of the photo itself, is
    what larger numbers leave when they cancel: its difference is taken relative to
    that share of the median.
    """
    narrow, wide = single(images), double(images)

    def largest_share(term: str) -> float:
        sizes = np.abs(wide[term])
        sizes = np.maximum(sizes, NEGLIGIBLE_SHARE * np.median(sizes))
        return float(np.max(np.abs(narrow[term] - wide[term]) / sizes))

    return {term: largest_share(term) for term in TERMS}
