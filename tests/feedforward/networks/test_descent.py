"""Learned descent: the network, the gradient that it is shown, and the scales."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import scipy.ndimage
from feedforward_networks import correlate, in_numpy, noise, random_network, run

from nstjax.feedforward.networks import descent
from nstjax.feedforward.networks.architecture import DescentArchitecture
from nstjax.feedforward.networks.networks import make_network

PARAMS = reference.random_params(channels=(4, 5, 6, 7, 8), blocks=4)
LAYERS = list(descent.STYLE_LAYERS)


def pictures(seed, count, height, width):
    return np.random.default_rng(seed).random((count, height, width, 3))


def numpy_grams(picture):
    pixels = 255 * picture - reference.MEAN_RGB
    found = reference.trunk(PARAMS, pixels, LAYERS, "max", "same")
    return {
        layer: reference.gram(found[layer]) / reference.positions(found[layer])
        for layer in LAYERS
    }


def halved(x):
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def doubled(x):
    return scipy.ndimage.zoom(x, (2, 2, 1), order=1, mode="nearest", grid_mode=True)


def test_the_network_equals_its_definition(float64):
    architecture = DescentArchitecture(channels=(4, 5, 6), residual_blocks=2)
    network = random_network(architecture)
    image, photo, gradient = (noise(2, 16, 24, 3, seed=seed) for seed in range(3))
    result = run(network, image, photo, gradient)

    def convolution(layer, x, stride=1, mode="reflect"):
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode)
        kernel = in_numpy(layer.kernel)
        return correlate(padded, kernel, stride) + in_numpy(layer.bias)

    def enlarged(x):
        return np.stack([doubled(one) for one in x])

    def relu(x):
        return np.maximum(x, 0)

    x = np.concatenate([2 * image - 1, 2 * photo - 1, gradient], -1)
    full = relu(convolution(network.contract[0], x))
    half = relu(convolution(network.contract[1], full, 2))
    x = relu(convolution(network.contract[2], half, 2))
    for first, second in network.residual:
        x = x + convolution(second, relu(convolution(first, x)))
    for expand, merge, skipped in zip(
        network.expand, network.merge, (half, full), strict=True
    ):
        expanded = relu(convolution(expand, enlarged(x), mode="edge"))
        x = relu(convolution(merge, expanded + skipped))
    expected = image + 0.2 * convolution(network.last, x)
    assert np.abs(expected - image).max() > 0.1
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_a_new_network_leaves_the_image_nearly_as_it_is():
    network = make_network(DescentArchitecture(channels=(8, 8), residual_blocks=1))
    image, photo, gradient = (noise(1, 16, 16, 3, seed=seed) for seed in range(3))
    change = np.abs(run(network, image, photo, gradient) - image)
    assert 0 < change.max() < 0.1


def test_a_style_is_a_paintings_moments_and_gram_matrices(float64):
    paintings = pictures(0, 2, 32, 24)
    describe = jax.jit(descent.describe_style, static_argnums=(1, 3))
    style = describe(PARAMS, "max", paintings, 2)
    for index, painting in enumerate(paintings):
        small = halved(painting)
        np.testing.assert_allclose(style.mean[index], small.mean((0, 1)))
        deviation = np.sqrt(small.var((0, 1)) + 1e-5)
        np.testing.assert_allclose(style.deviation[index], deviation)
        for grams, picture in zip(
            style.grams, (halved(painting), painting), strict=True
        ):
            expected = numpy_grams(picture)
            for layer in LAYERS:
                found, scale = grams[layer][index], np.abs(expected[layer]).max()
                np.testing.assert_allclose(found, expected[layer], atol=1e-5 * scale)


def test_the_gradient_is_that_of_the_distance(float64):
    image, painting = pictures(1, 1, 16, 24)[0], pictures(2, 1, 24, 16)[0] ** 2
    targets = numpy_grams(painting)

    def distance(image):
        grams = numpy_grams(image)
        return sum(
            weight
            * np.linalg.norm(grams[layer] - targets[layer])
            / np.linalg.norm(targets[layer])
            for layer, weight in descent.STYLE_LAYERS.items()
        )

    grams = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], targets)
    normalized = jax.jit(descent.normalized_gradient, static_argnums=1)
    found = np.asarray(normalized(PARAMS, "max", image[None], grams))[0]
    value = distance(image)
    found = np.sinh(3 * found / (value / (value + 0.03))) / 8
    np.testing.assert_allclose(np.sqrt(np.square(found).mean()), 1, rtol=1e-5)
    # Along a few directions, up to the one factor that the size was divided by.
    directions = np.random.default_rng(3).normal(size=(6, *image.shape))
    slopes = [
        (distance(image + 1e-6 * step) - distance(image - 1e-6 * step)) / 2e-6
        for step in directions
    ]
    ratios = [(found * step).sum() for step in directions] / np.array(slopes)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)
    assert ratios[0] > 0


def test_the_gradient_ends_where_the_style_is_there():
    image = np.float32(pictures(1, 1, 16, 16))
    describe = jax.jit(descent.describe_style, static_argnums=(1, 3))
    own = describe(PARAMS, "max", image, 1)
    normalized = jax.jit(descent.normalized_gradient, static_argnums=1)
    gradient = normalized(PARAMS, "max", image, own.grams[0])
    # √(0 + 1e-8) is left of the distance.
    assert np.sqrt(np.square(gradient).mean()) < 0.01


def test_each_scale_has_half_the_sides_of_the_next(float64):
    (picture,) = pictures(0, 1, 11, 14)
    small, middle, large = descent.pyramid(picture[None], 3)
    np.testing.assert_array_equal(large[0], picture)
    np.testing.assert_allclose(middle[0], halved(picture[:10]), rtol=1e-12)
    np.testing.assert_allclose(small[0], halved(halved(picture[:8, :12])), rtol=1e-12)


@pytest.mark.parametrize("detail", [0.0, 0.3, 1.0])
def test_the_photos_detail_is_put_back(detail, float64):
    photo, image = pictures(0, 1, 16, 12)[0], pictures(1, 1, 8, 6)[0]
    small = halved(photo)
    expected = doubled(image) + detail * (photo - doubled(small))
    found = jax.jit(descent.enlarged_image)(
        image[None], small[None], photo[None], detail
    )
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_the_first_image_has_the_paintings_colors(float64):
    photos = 0.4 + 0.1 * pictures(0, 1, 9, 7)
    mean, deviation = np.array([[0.5, 0.6, 0.4]]), np.array([[0.1, 0.2, 0.05]])
    style = descent.PaintingStyle(mean, deviation, ())
    found = np.asarray(jax.jit(descent.first_image)(photos, style))
    inside = (found > 0) & (found < 1)
    assert inside.all()
    np.testing.assert_allclose(found.mean((1, 2)), mean, atol=1e-6)
    np.testing.assert_allclose(found.std((1, 2)), deviation, rtol=1e-2)
    changed = descent.first_image(photos, style._replace(mean=mean + 0.5))
    assert changed.max() == 1
