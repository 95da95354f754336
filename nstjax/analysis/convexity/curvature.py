"""Extreme eigenvalues of a loss's Hessian at an image.

The content loss, a squared distance of ReLU features, is piecewise quadratic, and its
Hessian is 2 JᵀJ wherever it exists: no eigenvalue of it can be negative, although the
loss is not convex. Test such a loss with ``nstjax.analysis.convexity.convexity``.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.sparse import linalg

from nstjax.errors import InputError

Loss = Callable[[Array], Array]

# Vectors that ARPACK keeps: 80 MB of float64 at 256×256 pixels.
BASIS = 50


class Curvature(NamedTuple):
    """Both ends of the Hessian's spectrum, as far as the iteration came.

    Each value is vᵀHv of its unit vector v, float64 in the image's shape: the smallest
    eigenvalue is at most ``smallest`` and the largest at least ``largest``. A residual
    is ‖Hv - λv‖ and the rounding error of the image's type: an eigenvalue lies within
    it of λ. ``products`` is the number of Hessian-vector products that it took.
    """

    smallest: float
    largest: float
    smallest_residual: float
    largest_residual: float
    smallest_vector: np.ndarray
    largest_vector: np.ndarray
    products: int


def hessian_vector_product(
    loss: Loss, image: ArrayLike
) -> Callable[[ArrayLike], Array]:
    """The map v ↦ Hv in the image's shape, H the Hessian of a loss at an image.

    Compiled once for a loss and all images of one shape, at the highest precision of
    matrix products and convolutions. The loss should be the same object again, or
    ``jax.tree_util.Partial(function, *arrays)``, whose arrays are arguments of the
    compiled program and not part of it.
    """
    image = jnp.asarray(image)
    if not isinstance(loss, jax.tree_util.Partial):
        loss = jax.tree_util.Partial(loss)
    return lambda vector: _product(loss, image, jnp.asarray(vector, image.dtype))


def extreme_eigenvalues(
    loss: Loss,
    image: ArrayLike,
    *,
    max_iterations: int = 10,
    tolerance: float = 1e-3,
) -> Curvature:
    """Smallest and largest eigenvalue of a loss's Hessian at an image, by Lanczos.

    The first run finds the end that is larger in magnitude, λ₁; the second finds the
    other as the end of H - λ₁I that is larger in magnitude, so that an end near 0 is
    found to the same share of the spectrum's width. A run of so many restarts, each of
    up to 50 products, that has not converged to the tolerance, a share of the end's
    magnitude, gives the best of a single start; its residual tells. Both start from one
    random vector.

    Raises:
      InputError: the Hessian is not finite.

    Source:
      ARPACK's implicitly restarted Lanczos method, ``scipy.sparse.linalg.eigsh``.
    """
    image = jnp.asarray(image)
    product = hessian_vector_product(loss, image)
    products = 0

    def multiply(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        result = np.asarray(product(vector.reshape(image.shape)), np.float64)
        if not np.isfinite(result).all():
            raise InputError(
                "the loss has no finite Hessian at this image: give another image"
            )
        return result.ravel()

    start = np.random.default_rng(0).standard_normal(image.size)

    def outer_end(shift: float) -> tuple[float, float, np.ndarray]:
        operator = linalg.LinearOperator(
            (image.size, image.size),
            matvec=lambda vector: multiply(vector) - shift * vector.ravel(),
            dtype=np.float64,
        )
        options = {"k": 1, "which": "LM", "v0": start, "ncv": min(BASIS, image.size)}
        try:
            _, vectors = linalg.eigsh(
                operator, tol=tolerance, maxiter=max_iterations, **options
            )
        except linalg.ArpackNoConvergence:
            # ARPACK hands out only what has converged: here anything has.
            _, vectors = linalg.eigsh(operator, tol=1e30, **options)
        except linalg.ArpackError:
            # It refuses a multiple of the identity, of which any vector is right.
            vectors = start[:, None] / np.linalg.norm(start)
        vector = vectors[:, 0]
        image_of_vector = multiply(vector)
        value = float(vector @ image_of_vector)
        residual = float(np.linalg.norm(image_of_vector - value * vector))
        return value, residual, vector.reshape(image.shape)

    first = outer_end(0.0)
    second = outer_end(first[0])
    rounding = float(jnp.finfo(image.dtype).eps) * abs(first[0])
    smallest, largest = sorted((first, second), key=lambda end: end[0])
    return Curvature(
        smallest=smallest[0],
        largest=largest[0],
        smallest_residual=smallest[1] + rounding,
        largest_residual=largest[1] + rounding,
        smallest_vector=smallest[2],
        largest_vector=largest[2],
        products=products,
    )


def negative(curvature: Curvature) -> bool:
    """Whether the smallest eigenvalue is negative beyond its residual: λ + r < 0."""
    return curvature.smallest + curvature.smallest_residual < 0


@jax.jit
def _product(loss: Loss, image: Array, vector: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        return jax.jvp(jax.grad(loss), (image,), (vector,))[1]
