"""Gradients of equal size from every layer, as Johnson's -normalize_gradients."""

import jax
import jax.numpy as jnp
from jax import Array

EPSILON = 1e-8


@jax.custom_vjp
def normalize_gradient(activation: Array, strength: Array) -> Array:
    """The activation itself, whose gradient g is replaced by s · g / (‖g‖₁ + s · 1e-8).

    g already holds the loss's weight s, so that s times a unit gradient (in the L1
    norm) goes back through the network, whatever the loss's scale.

    Args:
      activation: what one loss reads, shape [height, width, channels].
      strength: s, the weight of that loss in the total, scalar.

    Returns:
      The activation.

    Source:
      Johnson's neural-style: ``g <- g / (norm(g, 1) + 1e-8) * strength`` at the layer.
    """
    del strength
    return activation


def _forward(activation: Array, strength: Array) -> tuple[Array, Array]:
    return activation, strength


def _backward(strength: Array, gradient: Array) -> tuple[Array, Array]:
    scale = normalizing_scale(jnp.abs(gradient).sum(), strength)
    return scale * gradient, jnp.zeros_like(strength)


normalize_gradient.defvjp(_forward, _backward)


def normalizing_scale(norm: Array, strength: Array) -> Array:
    """What ``normalize_gradient`` multiplies g by: s / (‖g‖₁ + s · 1e-8)."""
    # A weight of 0 gives a gradient of 0, which the divisor must not turn into NaN.
    norm += strength * EPSILON
    return strength / jnp.where(norm > 0, norm, 1.0)
