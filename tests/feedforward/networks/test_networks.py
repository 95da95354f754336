"""The networks compute what was published, for pictures of any size."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from feedforward_networks import (
    correlate,
    in_numpy,
    noise,
    normalize,
    random_network,
)
from flax import nnx

from nstjax.errors import InputError
from nstjax.feedforward.networks.networks import make_network
from nstjax.feedforward.training.presets import TRAINING_PRESETS

# Convolutions in float64 take seconds to compile at the default level.
TRANSFORMS = [name for name in TRAINING_PRESETS if name not in ("adain", "descent")]
STYLES = 3
# As float32 has it.
MEAN = np.float64(np.float32([123.68, 116.779, 103.939]))


def narrow(name, residual_blocks=1, **options):
    """A published architecture with few channels."""
    architecture = TRAINING_PRESETS[name].architecture
    return dataclasses.replace(
        architecture,
        **options,
        channels=(4, 5, 6),
        width=1.0,
        residual_blocks=residual_blocks,
        styles=STYLES if architecture.normalization == "conditional" else 1,
    )


@functools.cache
def made(name, residual_blocks=1):
    """In float32, for tests that do not change it."""
    return random_network(narrow(name, residual_blocks))


@jax.jit
def run(network, image, style=None):
    """The output, and the running statistics after it."""
    return network(image, style), nnx.state(network, nnx.BatchStat)


def transposed(x, kernel):
    """Every pixel stamps the kernel, two rows and columns apart: 2·height + 1."""
    batch, height, width, _ = x.shape
    result = np.zeros((batch, 2 * height + 1, 2 * width + 1, kernel.shape[-1]))
    for row, column in np.ndindex(3, 3):
        rows = slice(row, row + 2 * height, 2)
        columns = slice(column, column + 2 * width, 2)
        result[:, rows, columns] += x @ kernel[row, column]
    return result


def pad(x, before, after, mode="constant"):
    return np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)], mode)


def published(name, network, image, style, training=True):
    """What a program makes of pictures in 0..1.

    Johnson's in Torch, PyTorch's example, Engstrom's in TensorFlow, and Magenta's.
    """
    torch, tensorflow = name.startswith("johnson"), name == "lengstrom"
    magenta = name == "cin-dumoulin"

    def convolution(x, kernel, stride, upsample, in_residual):
        reach = kernel.shape[0] // 2
        if upsample and torch:
            return transposed(x, kernel[::-1, ::-1])[:, 1:, 1:]
        if upsample and tensorflow:
            return transposed(x, kernel[::-1, ::-1])[:, :-1, :-1]
        if upsample and network.architecture.upsampling == "bilinear":
            zoom = functools.partial(scipy.ndimage.zoom, order=1, mode="nearest")
            x = zoom(x, (1, 2, 2, 1), grid_mode=True)
        elif upsample:
            x = x.repeat(2, 1).repeat(2, 2)
        if tensorflow and stride == 2:
            x = pad(x, 0, 1)
        elif tensorflow or (torch and not in_residual):
            x = pad(x, reach, reach)
        elif not torch:
            x = pad(x, reach, reach, "edge" if upsample else "reflect")
        return correlate(x, kernel, stride)

    def layer(x, layer, stride=1, upsample=False, in_residual=False, normalized=True):
        kernel = in_numpy(layer.convolution.kernel)
        x = convolution(x, kernel, stride, upsample, in_residual)
        if not (tensorflow or magenta):
            x = x + in_numpy(layer.convolution.bias)
        if not normalized:
            return x
        if name == "johnson-bn":
            gamma, beta = in_numpy(layer.norm.scale), in_numpy(layer.norm.bias)
            if training:
                return normalize(x, (0, 1, 2), gamma, beta)
            mean, variance = in_numpy(layer.norm.mean), in_numpy(layer.norm.var)
            return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
        gamma, beta = (
            (style @ in_numpy(table))[:, None, None]
            for table in (layer.norm.gamma, layer.norm.beta)
        )
        return normalize(x, (1, 2), gamma, beta, 1e-3 if tensorflow else 1e-5)

    _, height, width, _ = image.shape
    below, right = -height % 4, -width % 4
    x = np.pad(image, [(0, 0), (0, below), (0, right), (0, 0)], "reflect")
    if torch:
        border = 8 * len(network.residual)
        x = pad(255 * x - MEAN, border, border, "reflect")
    elif not magenta:
        x = 255 * x
    for stride, module in zip((1, 2, 2), network.contract, strict=True):
        x = np.maximum(layer(x, module, stride), 0)
    for first, second in network.residual:
        change = np.maximum(layer(x, first, in_residual=True), 0)
        change = layer(change, second, in_residual=True)
        x = change + (x[:, 2:-2, 2:-2] if torch else x)
    for module in network.expand:
        x = np.maximum(layer(x, module, upsample=True), 0)
    x = layer(x, network.last, normalized=tensorflow or magenta)
    if magenta:
        x = 1 / (1 + np.exp(-x))
    elif torch:
        x = (150 * np.tanh(x) + MEAN) / 255
    elif tensorflow:
        x = (150 * np.tanh(x) + 127.5) / 255
    else:
        x = x / 255
    return x[:, :height, :width]


@pytest.mark.parametrize(
    "name, upsampling",
    # The nearest pixel enlarges pytorch-fns, too.
    [(name, "bilinear" if name == "cin-dumoulin" else None) for name in TRANSFORMS],
)
def test_a_network_equals_its_definition(name, upsampling, float64):
    # Blocks that take rows away are one after the other.
    blocks = 2 if name == "johnson-bn" else 1
    options = {"upsampling": upsampling} if upsampling else {}
    network = random_network(narrow(name, blocks, **options))
    # Reflected to 20×24 first; two pictures, each with its own weights of the styles.
    image = noise(2, 18, 23, 3)
    style = noise(2, network.architecture.styles, seed=2)
    result, _ = run(network, image, style)
    expected = published(name, network, np.asarray(image), np.asarray(style))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-10 * expected.std())


def test_batch_normalization_uses_them_after_training(float64):
    network = random_network(narrow("johnson-bn", 0))
    first = network.contract[0].norm.var
    first.set_value(1e4 * first[...])
    network.eval()
    image = noise(2, 24, 24, 3)
    result, after = run(network, image)
    expected = published("johnson-bn", network, np.asarray(image), None, training=False)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-10 * expected.std())
    before = nnx.state(network, nnx.BatchStat)
    jax.tree.map(np.testing.assert_array_equal, after, before)


@pytest.mark.parametrize(
    "name, styles, count",
    [
        ("pytorch-fns", 1, 1_679_235),
        ("lengstrom", 1, 1_677_638),
        ("johnson-in", 1, 424_899),
        # As pytorch-fns: γ and β are as many, and running statistics are not trained.
        ("johnson-bn", 1, 1_679_235),
        ("cin-dumoulin", 32, 1_674_432 + 32 * 3_206),
        ("adain", None, 3_505_219),
    ],
)
def test_a_published_network_has_its_number_of_parameters(name, styles, count):
    architecture = TRAINING_PRESETS[name].architecture
    if styles:
        architecture = dataclasses.replace(architecture, styles=styles)
    network = nnx.eval_shape(lambda: make_network(architecture))
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == count


@pytest.mark.parametrize(
    "name, residual_blocks",
    [("pytorch-fns", 1), ("johnson-in", 0), ("johnson-in", 5)],
)
def test_the_smallest_picture_is_large_enough(name, residual_blocks, monkeypatch):
    network = made(name, residual_blocks)
    least = network.architecture.least_side
    pad, sides = jnp.pad, []

    def checked_pad(array, borders, **options):
        if options:
            sides.append(array.shape[1])
            # Further on a reflection is reflected.
            assert max(max(borders)) < min(array.shape[1:3])
        return pad(array, borders, **options)

    monkeypatch.setattr(jnp, "pad", checked_pad)
    image = noise(1, least, least, 3)
    result, _ = jax.eval_shape(run, network, image)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert sides[0] == least
    if residual_blocks == 5:
        # Two rows and columns on each side for each of ten convolutions.
        assert (network.architecture.start_reflection, least) == (40, 41)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_picture_too_small_is_refused_in_one_line(name):
    network = made(name)
    least = network.architecture.least_side
    for height, width in ((least - 1, 99), (99, least - 1)):
        words = f"^a picture of {width}x{height} pixels is too small .* {least} on each"
        with pytest.raises(InputError, match=words):
            network(noise(1, height, width, 3), noise(1, network.architecture.styles))


@pytest.mark.parametrize("shape", [None, (2, 2), (1, 3), (3,), (2, 3, 1)])
def test_style_weights_of_another_shape_are_refused(shape):
    style = None if shape is None else noise(*shape)
    words = r"style weights have shape .*: give \(2, 3\), one for each picture and st"
    with pytest.raises(InputError, match=words):
        made("cin-dumoulin")(noise(2, 16, 16, 3), style)


def test_another_network_of_one_architecture_is_not_compiled_again():
    conditional, count = made("cin-dumoulin"), 0

    @jax.jit
    def apply(network, image, style):
        nonlocal count
        count += 1
        return image

    image, style = noise(1, 16, 16, 3), jnp.eye(STYLES)[:1]
    for network in (conditional, random_network(conditional.architecture, seed=1)):
        for picture in (image, 1 - image):
            apply(network, picture, style)
    assert count == 1
    wider = dataclasses.replace(conditional.architecture, width=1.5)
    apply(random_network(wider), image, style)
    assert count == 2
