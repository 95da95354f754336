"""Squared 2-Wasserstein distances: of Gaussians, and of samples along directions."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.statistics.gram import channel_means, gram_matrix


def mean_and_covariance(
    activation: ArrayLike,
    guide: ArrayLike | None = None,
    regularization: ArrayLike = 0.0,
) -> tuple[Array, Array]:
    """Mean μ and covariance mean_k T_k² (F_k - μ)(F_k - μ)ᵀ + εI over the positions.

    Args:
      activation: F, shape [height, width, channels].
      guide: T, see ``nstjax.gram_matrix``; 1 at each position without one.
      regularization: ε, in squared units of F. style-transfer-pytorch has 1e-4 for
        images in 0..1, which is 6.5 for images in 0..255.

    Returns:
      Shapes [channels] and [channels, channels].

    Raises:
      InputError: if the guide has another size than the activation.
    """
    mean = channel_means(activation, guide)
    centered = jnp.asarray(activation) - mean[None, None, :]
    covariance = gram_matrix(centered, "hw", guide=guide)
    return mean, covariance + regularization * jnp.eye(mean.size, dtype=mean.dtype)


def symmetric_root(matrix: ArrayLike) -> Array:
    """Square root of a symmetric positive semi-definite matrix, for a target.

    Made of eigenvalues, those that rounding put below 0 taken for 0; it has no useful
    gradient, for which there is ``matrix_square_root``.
    """
    eigenvalues, eigenvectors = jnp.linalg.eigh(jnp.asarray(matrix))
    roots = jnp.sqrt(jnp.maximum(eigenvalues, 0))
    return _product(eigenvectors * roots[None, :], eigenvectors.T)


# Crowson's code has 12, which on photos leave the distance 2 to 12 % too large.
ITERATIONS = 20


def matrix_square_root(
    matrix: ArrayLike, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """A^½ and A^-½ by Newton and Schulz's iteration: matrix products alone.

    Y₀ = A/‖A‖, Z₀ = I; T = (3I - ZY)/2; Y ← YT, Z ← TZ; A^½ ≈ Y √‖A‖ and
    A^-½ ≈ Z / √‖A‖, with the Frobenius norm.

    Args:
      matrix: A, symmetric positive semi-definite, shape [n, n].
      iterations: each resolves eigenvalues 2.25 times as small. After 12 the roots of
        those below 1e-4 ‖A‖ are still too small, after 20 those below 1e-7 ‖A‖; beyond
        20, float32's rounding errors in a nearly singular matrix grow without bound.

    Returns:
      Shape [n, n] each.

    Source:
      Higham (2008), "Functions of Matrices", chapter 6; style-transfer-pytorch,
      ``sqrtm.py``.
    """
    matrix = jnp.asarray(matrix)
    identity = jnp.eye(len(matrix), dtype=matrix.dtype)
    norm = jnp.sqrt(jnp.square(matrix).sum())
    Y, Z = matrix / norm, identity
    for _ in range(iterations):
        T = 1.5 * identity - 0.5 * _product(Z, Y)
        Y, Z = _product(Y, T), _product(T, Z)
    return Y * jnp.sqrt(norm), Z / jnp.sqrt(norm)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def trace_of_square_root(matrix: Array, iterations: int = ITERATIONS) -> Array:
    """The trace of A^½, with its gradient ½ A^-½.

    Differentiating the iteration of ``matrix_square_root`` takes several times as long.
    """
    return jnp.trace(matrix_square_root(matrix, iterations)[0])


@trace_of_square_root.defjvp
def _trace_of_square_root_jvp(
    iterations: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (matrix,), (matrix_dot,) = primals, tangents
    root, inverse = matrix_square_root(matrix, iterations)
    return jnp.trace(root), 0.5 * jnp.vdot(inverse.T, matrix_dot, precision="highest")


def gaussian_wasserstein2(
    mean: ArrayLike,
    covariance: ArrayLike,
    target_mean: ArrayLike,
    target_root: ArrayLike,
    iterations: int = ITERATIONS,
) -> Array:
    """Squared distance between two Gaussian distributions.

    ‖μ - μ_t‖² + tr(C_t + C - 2 (C_t^½ C C_t^½)^½)

    Args:
      mean: μ, shape [channels].
      covariance: C, shape [channels, channels]. The gradient at 0 is not finite: see
        ``regularization`` of ``mean_and_covariance``.
      target_mean: μ_t, shape [channels].
      target_root: C_t^½, see ``symmetric_root``.
      iterations: see ``matrix_square_root``.

    Returns:
      Scalar, a sum over the channels.

    Source:
      Dowson and Landau (1982); style-transfer-pytorch, ``StyleLossW2``.
    """
    root = jnp.asarray(target_root)
    between = _product(_product(root, jnp.asarray(covariance)), root)
    return (
        jnp.square(jnp.asarray(mean) - jnp.asarray(target_mean)).sum()
        + jnp.square(root).sum()
        + jnp.trace(jnp.asarray(covariance))
        - 2 * trace_of_square_root(between, iterations)
    )


def random_directions(key: Array, count: int, channels: int) -> Array:
    """Unit vectors of uniformly random direction, shape [count, channels]."""
    directions = jax.random.normal(key, (count, channels))
    return directions / jnp.linalg.norm(directions, axis=1, keepdims=True)


def sliced_wasserstein(x: ArrayLike, y: ArrayLike, directions: ArrayLike) -> Array:
    """Mean squared distance of the sorted projections onto each direction.

    mean_d,i (sort(x·d)_i - sort(y·d)_i)²

    Args:
      x: samples, shape [n, channels].
      y: samples, same shape.
      directions: d, unit vectors, shape [directions, channels].

    Returns:
      Scalar: the mean over directions of the distance of two distributions on a line.

    Raises:
      InputError: if the shapes of x and y differ.

    Source:
      Pitié et al. (2005); Heitz et al. (2021), "A Sliced Wasserstein Loss for Neural
      Texture Synthesis".
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.shape != y.shape:
        raise InputError(
            f"samples have shapes {x.shape} and {y.shape}: give the same number of both"
        )
    directions = jnp.asarray(directions)
    along_x, along_y = _product(directions, x.T), _product(directions, y.T)
    return jnp.square(jnp.sort(along_x) - jnp.sort(along_y)).mean()


def _product(A: Array, B: Array) -> Array:
    return jnp.matmul(A, B, precision="highest")
