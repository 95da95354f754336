"""Instance normalization with a row of γ and β for each style."""

import jax
import jax.numpy as jnp
import numpy as np
from feedforward_networks import in_numpy, noise, normalize

from nstjax.feedforward.networks.normalization import InstanceNorm, instance_statistics

STYLES = 3


@jax.jit
def normalized(norm, x, style):
    return norm(x, style)


def drawn_norm(styles=STYLES, channels=4, epsilon=0.1):
    norm, random = InstanceNorm(channels, styles, epsilon), np.random.default_rng(3)
    for table in (norm.gamma, norm.beta):
        table.set_value(jnp.asarray(random.normal(size=(styles, channels))))
    return norm


def test_instance_normalization_equals_its_definition(float64):
    norm = drawn_norm()
    x, style = np.asarray(5 + 3 * noise(2, 5, 6, 4)), np.asarray(noise(2, STYLES))
    gamma, beta = (
        (style @ in_numpy(table))[:, None, None] for table in (norm.gamma, norm.beta)
    )
    result = normalized(norm, jnp.asarray(x), jnp.asarray(style))
    expected = normalize(x, (1, 2), gamma, beta, 0.1)
    np.testing.assert_allclose(result, expected, atol=1e-13)
    # A tile has the whole picture's statistics.
    moments = jax.jit(instance_statistics)(jnp.asarray(x))
    tile = norm(x[:, :2, 3:], style, moments)
    np.testing.assert_allclose(tile, expected[:, :2, 3:], atol=1e-13)


def test_a_flat_channel_becomes_beta():
    norm = drawn_norm(styles=1, epsilon=1e-5)
    # The mean of 0.3 is not exact in float32.
    flat = np.full((1, 5, 6, 4), 0.3, np.float32)
    result = normalized(norm, flat, np.ones((1, 1), np.float32))
    expected = np.broadcast_to(norm.beta[...], (1, 5, 6, 4))
    np.testing.assert_allclose(result, expected, atol=1e-4)
