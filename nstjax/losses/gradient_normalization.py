"""Gradients of equal size from every layer, as Johnson's -normalize_gradients."""

import jax
import jax.numpy as jnp
from jax import Array

EPSILON = 1e-8


@jax.custom_vjp
def normalize_gradient(activation: Array, term_weight: Array) -> Array:
    """The activation itself, whose gradient g is replaced by w · g / (‖g‖₁ + w · 1e-8).

    g already holds the loss's weight w, so that w times a unit gradient (in the L1
    norm) goes back through the network, whatever the loss's scale.

    Args:
      activation: what one loss reads, shape [height, width, channels].
      term_weight: w, the weight of that loss in the total, scalar.

    Returns:
      The activation.

    Source:
      Johnson's neural-style: ``g <- g / (norm(g, 1) + 1e-8) * strength`` at the layer.
    """
    del term_weight
    return activation


def _forward(activation: Array, term_weight: Array) -> tuple[Array, Array]:
    return activation, term_weight


def _backward(term_weight: Array, gradient: Array) -> tuple[Array, Array]:
    scale = normalizing_scale(jnp.abs(gradient).sum(), term_weight)
    return scale * gradient, jnp.zeros_like(term_weight)


normalize_gradient.defvjp(_forward, _backward)


def normalizing_scale(norm: Array, term_weight: Array) -> Array:
    """What ``normalize_gradient`` multiplies g by: w / (‖g‖₁ + w · 1e-8)."""
    # A weight of 0 gives a gradient of 0, which the divisor must not turn into NaN.
    norm += term_weight * EPSILON
    return term_weight / jnp.where(norm > 0, norm, 1.0)
