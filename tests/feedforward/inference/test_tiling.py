"""Pictures in tiles: what the network makes of them in one piece, to rounding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from feedforward_networks import random_network
from jax.tree_util import Partial

from nstjax.errors import InputError
from nstjax.feedforward.inference import tiles, tiling
from nstjax.feedforward.inference.tiling import restyle_code_in_tiles, restyle_in_tiles
from nstjax.feedforward.networks.adain import (
    adaptive_instance_normalization,
    make_encoder,
)
from nstjax.feedforward.networks.architecture import AdaINArchitecture
from nstjax.feedforward.training.presets import TRAINING_PRESETS
from nstjax.network.architecture import summarize

PUBLISHED = [name for name in TRAINING_PRESETS if name not in ("adain", "descent")]
# Their blocks are those of others, and how one enlarges is.
WITHOUT = {
    "pytorch-fns": {"residual_blocks": 0},
    "johnson-bn": {"residual_blocks": 0, "upsampling": "bilinear"},
    "lengstrom": {"residual_blocks": 0},
}
WEIGHTS = np.array([0.2, 0.5, -0.1], np.float32)


def published(name, **options):
    """A narrow network of a published kind, and a style for it."""
    architecture = dataclasses.replace(TRAINING_PRESETS[name].architecture, **options)
    # The second block reads what the first one has added up.
    conditional = architecture.normalization == "conditional"
    styles, blocks = (3, 2) if conditional else (1, 1)
    # One has another depth.
    channels = (4, 6, 8, 5) if name == "pytorch-fns" else (4, 6, 8)
    narrow = {"channels": channels, "width": 1.0}
    narrow["residual_blocks"] = options.get("residual_blocks", blocks)
    network = random_network(dataclasses.replace(architecture, **narrow, styles=styles))
    network.eval()
    return network, WEIGHTS[:styles]


def picture(height, width):
    """Noise and a slope, so that no two parts have the same statistics."""
    random = np.random.default_rng(0)
    slope = np.linspace(0, 1, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    return np.float32(0.6 * slope + 0.4 * random.random((height, width, 3)))


@jax.jit
def in_one_piece(network, image, style):
    return network(image[None], style[None])[0]


@jax.jit(static_argnames="pool")
def decoded_in_one_piece(decoder, params, image, style, strength, pool):
    code = make_encoder(params, pool)(image[None])
    target = adaptive_instance_normalization(code, [part[None] for part in style])
    return decoder(strength * target + (1 - strength) * code)[0]


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.fixture(scope="module")
def dumoulin():
    return published("cin-dumoulin")


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_give_the_same_as_in_one_piece(name):
    network, style = published(name, **WITHOUT.get(name, {}))
    image, tile = picture(75, 62), 33 if name == "pytorch-fns" else 20
    expected = in_one_piece(network, image, style)
    assert min(expected.std((0, 1))) > 0.02 * np.abs(expected).max()
    assert_close(restyle_in_tiles(network, image, style, tile=tile), expected)


def test_tiles_are_small_and_one_compilation_serves_a_pass(dumoulin, monkeypatch):
    network, style = dumoulin
    compute, passes = tiles._compute, []

    def recorded(function, finishes, parts, *weights):
        output, *moments = compute(function, finishes, parts, *weights)
        passes.append((function, parts[0].shape))
        return output, *moments

    monkeypatch.setattr(tiles, "_compute", recorded)
    image = picture(75, 62)
    restyle_in_tiles(network, image, style, tile=20)
    compiled = compute._cache_size()
    restyle_in_tiles(network, image[:, ::-1], style[::-1], tile=20)
    assert compute._cache_size() == compiled
    shapes = {}
    for function, shape in passes:
        shapes.setdefault(id(function), set()).add(shape)
    assert len(shapes) == 2 * 13
    assert all(len(shape) == 1 for shape in shapes.values())
    for ((height, width, channels),) in shapes.values():
        # Of the picture, at its resolution, at a half and at a quarter. The halo is 8
        # for a kernel of 9x9, else 2, and one more where a side is odd.
        most = {3: 20 + 16, 4: 20 + 16, 6: 10 + 4, 8: 6 + 5}[channels]
        assert max(height, width) <= most


def test_the_moments_of_a_channel_far_from_zero_are_exact():
    random = np.random.default_rng(0)
    values = random.normal([1e4, -3], 1, (70, 50, 2)).astype(np.float32)
    values[:30] *= [1.001, 3]
    grid = tiles.Tiles((4, 3), 1, None)
    result, (mean, variance) = grid.compute(
        Partial(jnp.asarray), tiles.Activation(values), halo=2
    )
    np.testing.assert_array_equal(result, values)
    np.testing.assert_allclose(mean[0], values.mean((0, 1), np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance[0], values.var((0, 1), np.float64), rtol=1e-3)


@pytest.mark.parametrize(
    ("side", "tile", "styles", "message"),
    [
        (7, 20, 3, "too small"),
        (20, 0, 3, "tile must be 1 or more"),
        (20, 20, 2, "style weights have shape"),
    ],
)
def test_bad_input_is_refused(dumoulin, side, tile, styles, message):
    with pytest.raises(InputError, match=message):
        restyle_in_tiles(dumoulin[0], picture(20, side), WEIGHTS[:styles], tile=tile)


@pytest.fixture(scope="module", params=["nearest", "bilinear"])
def adain(request):
    """A narrow decoder, params of a narrow encoder, and a painting's moments."""
    params = reference.random_params(channels=(4, 5, 6, 7, 8))
    architecture = AdaINArchitecture(
        encoder_channels=7, channels=(6, 5, 4), upsampling=request.param
    )
    random = np.random.default_rng(1)
    style = (random.uniform(-50, 50, 7), random.uniform(20, 70, 7))
    style = tuple(part.astype(np.float32) for part in style)
    return random_network(architecture), jax.tree.map(jnp.float32, params), style


def test_arbitrary_styles_give_the_same_as_in_one_piece(adain):
    decoder, params, style = adain
    # So high that a tile of its code, of 4 positions and twice 5, is not the whole.
    image = picture(170, 85)
    # One of each kind for either way of enlarging.
    nearest = decoder.architecture.upsampling == "nearest"
    pool, strength = ("max", 1.0) if nearest else ("avg", 0.4)
    inputs = (decoder, params, image, style)
    expected = decoded_in_one_piece(*inputs, strength, pool)[:170, :85]
    assert min(expected.std((0, 1))) > 0.02 * np.abs(expected).max()
    calls = []
    result = restyle_code_in_tiles(
        *inputs,
        pool=pool,
        strength=strength,
        tile=32,
        progress=lambda *numbers: calls.append(numbers),
    )
    assert_close(result, expected)
    assert calls[-1] == (2 * 6 * 3, 2 * 6 * 3)


def test_the_encoders_halo_covers_what_relu4_1_sees():
    fields = {layer.name: layer.receptive_field for layer in summarize(64, 64)}
    assert fields["relu4_1"] <= 2 * tiling.ENCODER_HALO + tiling.CODE_PIXELS
