"""The penalty on what repeats with a network's upsampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nstjax.feedforward.training import grid_loss as module

# As one program: each of its operations would compile by itself.
grid_loss = jax.jit(module.grid_loss, static_argnums=1)


def drawn(*shape):
    return np.random.default_rng(0).random(shape)


def by_definition(image, period, window):
    """Of one picture whose sides the windows fill."""
    height, width, _ = image.shape
    squares = []
    for top in range(0, height, window[0]):
        for left in range(0, width, window[1]):
            part = 255 * image[top : top + window[0], left : left + window[1]]
            cell = np.array(
                [
                    [part[p::period, q::period].mean((0, 1)) for q in range(period)]
                    for p in range(period)
                ]
            )
            squares.append(np.square(cell - cell.mean((0, 1))))
    return np.mean(squares)


@pytest.mark.parametrize(
    "height, width, period, window",
    [
        (128, 64, 4, (64, 64)),
        (64, 192, 8, (64, 64)),
        # Smaller than a window, and rows and columns that fill none.
        (32, 30, 4, (32, 28)),
        (130, 67, 4, (64, 64)),
    ],
)
def test_equals_its_definition(height, width, period, window, float64):
    images = drawn(2, height, width, 3)
    found = grid_loss(jnp.asarray(images), period)
    kept = images[:, : height - height % window[0], : width - width % window[1]]
    expected = [by_definition(image, period, window) for image in kept]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tells_a_grid_from_a_texture_of_another_period(float64):
    row, column = np.mgrid[:64, :64]

    def of_period(period):
        wave = np.cos(2 * np.pi * row / period) * np.cos(2 * np.pi * column / period)
        return grid_loss(jnp.asarray(0.5 + 0.1 * wave)[None, :, :, None], 4)[0]

    # The mean of cos² along both axes is a quarter.
    assert of_period(4) == pytest.approx(25.5**2 / 4, rel=1e-12)
    assert of_period(64 / 11) == pytest.approx(0, abs=1e-20)
    assert of_period(64 / 15) == pytest.approx(0, abs=1e-20)
