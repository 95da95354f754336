"""Updates of the image after the network: those of a run of the preset quick."""

import jax
import numpy as np
import pytest
import restyle_models
from restyle_models import picture

import nstjax
from nstjax.feedforward.inference.descend import descend, describe_painting
from nstjax.feedforward.inference.refine import refine
from nstjax.images.resizing import parse_size
from nstjax.network.layer_scales import scale_layers
from nstjax.optimization.steps import run

ENCODER = restyle_models.descending().encoder
PLAIN = restyle_models.encoder().params
PARAMS = jax.tree.map(np.float32, scale_layers(PLAIN, ENCODER.scales))
PHOTO, PAINTING, START = (picture(48, 64, seed) for seed in range(3))
STEPS = 4


@pytest.fixture(scope="module")
def refined():
    style = describe_painting(PARAMS, PAINTING, "max", 2)
    given = (PARAMS, ENCODER.scales, PHOTO, START, style, STEPS)
    return refine(*given, pool="max"), given


def test_it_is_a_run_on_the_network_as_it_was(refined):
    preset = nstjax.customize(
        nstjax.get_preset("quick"),
        size=parse_size("64x48"),
        steps=STEPS,
        pool_padding="same",
        content_layers=("relu4_1",),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        style_layer_weights=(1.0,) * 4,
    )
    problem = nstjax.prepare(PHOTO, [PAINTING], PLAIN, preset, init_image=START)
    for state, _ in run(problem.steps, problem.state, problem.data, STEPS):
        expected = nstjax.deprocess(state.image)
    found, _ = refined
    assert np.abs(found - START).mean() > 0.01
    # L-BFGS magnifies the rounding of features of another size.
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_tiles_give_the_same(refined):
    found, given = refined
    calls = []
    tiled = refine(
        *given, pool="max", tile=32, progress=lambda *numbers: calls.append(numbers)
    )
    np.testing.assert_allclose(tiled, found, atol=2e-3)
    assert calls == [(done, STEPS) for done in range(1, STEPS + 1)]


@pytest.mark.parametrize("tile", [None, 40])
def test_a_restyler_refines_what_its_network_makes(tile):
    model = restyle_models.descending()
    restyler = restyle_models.make_restyler(model, restyle_models.encoder, refine=2)
    photo, style = picture(48, 112), restyler.style_of(PAINTING)
    reflected = np.pad(photo, [(8, 8), (8, 8), (0, 0)], mode="reflect")
    # A multiple of 16.
    rounded = tile and 48
    params = model.network.encoder_params()
    given = model.network, params, reflected[None], style
    start = np.clip(descend(*given, pool="max", tile=tile or 0)[0], 0, 1)
    given = (params, ENCODER.scales, reflected, start, style, 2)
    expected = refine(*given, pool="max", tile=rounded)[8:-8, 8:-8]
    (found,) = (
        [restyler.in_tiles(photo, style, tile=tile)]
        if tile
        else restyler([photo], style)
    )
    start = start[8:-8, 8:-8]
    assert np.abs(found - start).mean() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-3)
