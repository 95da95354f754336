"""The terms of a loss as functions of the image, in float32 and in float64.

A term is the total loss (with the run's alpha and beta), the content loss or the style
loss.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.losses.objective import TransferData
from nstjax.optimization.transfer import LossFunction

TERMS = ("total", "content", "style")
NEGLIGIBLE_SHARE = 1e-6

# Images [n, height, width, 3] -> {term: [n]}.
Terms = Callable[[np.ndarray], dict[str, np.ndarray]]


def single_precision(loss_fn: LossFunction, data: TransferData, batch: int) -> Terms:
    """The terms as a run sees them, of so many images in one dispatch."""
    compiled = jax.jit(jax.vmap(_terms(loss_fn), in_axes=(0, None)))

    def evaluate(images: np.ndarray) -> dict[str, np.ndarray]:
        rows = []
        for first in range(0, len(images), batch):
            part = np.asarray(images[first : first + batch], np.float32)
            padded = np.concatenate([part, part[:1].repeat(batch - len(part), axis=0)])
            with jax.default_matmul_precision("highest"):
                values = compiled(padded, data)
            rows.append({term: np.asarray(values[term])[: len(part)] for term in TERMS})
        return {
            term: np.concatenate([row[term] for row in rows]).astype(np.float64)
            for term in TERMS
        }

    return evaluate


def double_precision(loss_fn: LossFunction, data: TransferData) -> Terms:
    """The same in float64, image by image."""
    compiled = jax.jit(_terms(loss_fn))

    def evaluate(images: np.ndarray) -> dict[str, np.ndarray]:
        with jax.enable_x64(True):
            wide = jax.tree.map(_widened, data)
            rows = [compiled(np.float64(image), wide) for image in images]
            return {
                term: np.array([float(row[term]) for row in rows]) for term in TERMS
            }

    return evaluate


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


def term_loss(
    loss_fn: LossFunction, term: str, data: TransferData, image: Array
) -> Array:
    """One term at an image, to be differentiated."""
    return _terms(loss_fn)(image, data)[term]


def _terms(loss_fn: LossFunction) -> Callable[[Array, TransferData], dict[str, Array]]:
    def terms(image: Array, data: TransferData) -> dict[str, Array]:
        loss, parts = loss_fn(image, jnp.int32(0), *data)
        return {"total": loss, "content": parts.content, "style": parts.style}

    return terms


def _widened(leaf: Any) -> Any:
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return np.asarray(leaf, np.float64)
    return leaf
