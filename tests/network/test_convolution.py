import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.losses.terms import Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network import convolution as module
from nstjax.network.architecture import kernel_shapes
from nstjax.network.vgg import features

# As one program: each of its operations would compile by itself.
conv3x3 = jax.jit(module.conv3x3, static_argnums=2)
SIZES = ((1, 1), (2, 3), (5, 4), (8, 11))


def whole_numbers(seed, shape, factor=1):
    values = np.random.default_rng(seed).integers(-4, 5, shape)
    return jnp.asarray(factor * values, jnp.float32)


@pytest.mark.parametrize(
    ("size", "channels"),
    [*((size, (64, 128)) for size in SIZES), (SIZES[2], (128, 64))],
)
def test_winograd_is_exact_where_bfloat16_is(size, channels):
    # All transforms of these are whole numbers of at most 8 bits.
    activation = whole_numbers(0, (*size, channels[0]))
    kernel = whole_numbers(1, (3, 3, *channels), factor=4)
    result = conv3x3(activation, kernel, "mixed")
    expected = reference.convolve(
        np.asarray(activation), np.asarray(kernel), np.zeros(channels[1])
    )
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("size", SIZES[1::2])
def test_gradients_of_winograd_are_exact_where_bfloat16_is(size):
    activation = whole_numbers(0, (*size, 64))
    kernel = whole_numbers(1, (3, 3, 64, 128), factor=4)
    cotangent = whole_numbers(2, (*size, 128))

    @jax.jit
    def gradients(activation, kernel, cotangent):
        return [
            jax.vjp(
                lambda a, k, precision=precision: conv3x3(a, k, precision),
                *(activation, kernel),
            )[1](cotangent)
            for precision in ("mixed", "float32")
        ]

    # The direct convolution's are checked against finite differences elsewhere.
    for mixed, direct in zip(*gradients(activation, kernel, cotangent), strict=True):
        np.testing.assert_array_equal(mixed, direct)


@pytest.mark.parametrize(
    ("channels", "algorithm"),
    [((64, 64), "direct"), ((32, 512), "direct"), ((64, 128), "winograd")],
)
def test_few_channels_are_convolved_directly(channels, algorithm, monkeypatch):
    used = []
    for name in ("direct", "winograd"):
        monkeypatch.setattr(
            module,
            f"{name}_convolution",
            lambda a, k, name=name: used.append(name) or a,
        )
    module.conv3x3(
        jnp.zeros((2, 2, channels[0])), jnp.zeros((3, 3, *channels)), "mixed"
    )
    assert used == [algorithm]


def test_the_error_is_that_of_bfloat16():
    random = np.random.default_rng(0)
    activation = random.standard_normal((20, 31, 128))
    kernel = random.standard_normal((3, 3, 128, 256))
    expected = reference.convolve(activation, kernel, np.zeros(256))
    result = conv3x3(jnp.float32(activation), jnp.float32(kernel), "mixed")
    error = np.linalg.norm(result - expected) / np.linalg.norm(expected)
    assert 5e-4 < error < 6e-3


def test_vmap_equals_loop():
    activations = whole_numbers(0, (3, *SIZES[2], 64))
    kernel = whole_numbers(1, (3, 3, 64, 128), factor=4)
    together = jax.jit(jax.vmap(lambda a: conv3x3(a, kernel, "mixed")))(activations)
    for activation, result in zip(activations, together, strict=True):
        np.testing.assert_array_equal(result, conv3x3(activation, kernel, "mixed"))


def test_gradient_of_the_whole_loss_points_where_float64_s_does():
    random = np.random.default_rng(0)
    params = {
        name: {
            "kernel": random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3])),
            "bias": random.standard_normal(shape[3]),
        }
        for name, shape in kernel_shapes().items()
        if name in ("conv1_1", "conv1_2", "conv2_1")
    }
    pictures = [reference.random_image(seed, 32, 40) for seed in range(3)]
    weights = Weights(1e-5, 1.0, 0.0, {"relu2_1": 1.0}, {"relu2_1": 1.0})

    def gradient(dtype, precision):
        def loss(image, params, photo, painting):
            targets = Targets(
                features(params, photo, ("relu2_1",)),
                style_statistics(params, painting, ("relu2_1",)),
            )
            return total_loss(params, image, targets, weights, precision=precision)[0]

        image, *others = jax.tree.map(dtype, (pictures[0], params, *pictures[1:]))
        return np.asarray(jax.jit(jax.grad(loss))(image, *others), np.float64).ravel()

    with jax.enable_x64(True):
        exact = gradient(np.float64, "float32")
    for precision, least in (("float32", 0.9999), ("mixed", 0.999)):
        found = gradient(np.float32, precision)
        cosine = found @ exact / np.linalg.norm(found) / np.linalg.norm(exact)
        assert least < cosine < 1.0 + 1e-9
