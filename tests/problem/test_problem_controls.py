"""One compilation for all masks, and what a run does with them."""

import jax
import numpy as np
import reference
from masked_photo import LEFT, columns, photo_and_paintings
from problems import MEAN, network_units

from nstjax.images.regions import MaskedRegion
from nstjax.images.resizing import Size
from nstjax.optimization.steps import run
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.problem import prepare
from nstjax.problem.targets import Controls

PARAMS = jax.tree.map(np.float32, reference.random_params(blocks=1))
LAYERS = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}


def run_steps(controls, steps=1, **settings):
    preset = customize(
        PRESETS["gatys2016"],
        **LAYERS,
        optimizer="adam",
        size=Size("original"),
        **settings,
    )
    photo, *styles = (
        np.clip((image + MEAN) / 255, 0, 1) for image in photo_and_paintings()[:3]
    )
    problem = prepare(photo, styles, PARAMS, preset, controls=controls)
    for state, _ in run(problem.steps, problem.state, problem.data, steps):
        pass
    return problem, np.asarray(state.image)


def test_another_mask_and_other_weights_need_no_compilation(compilations):
    def painted(first, weights):
        mask = columns(0, first)
        regions = [
            MaskedRegion("first", mask, ((0, None),)),
            MaskedRegion("rest", 1 - mask, ((1, None),)),
        ]
        controls = Controls(
            regions=regions,
            region_weights=weights,
            style_blend_weights=weights[::-1],
            stylize_mask=0.5 + mask / 2,
        )
        problem, image = run_steps(controls)
        return image, problem.steps.advance._cache_size()

    image, cached = painted(12, (1, 2))
    compiled = len(compilations())
    other, cached_then = painted(15, (3, 1))
    assert cached_then == cached
    assert len(compilations()) == compiled
    assert (image != other).any()


def test_an_image_changes_only_inside_the_stylize_mask():
    controls = Controls(stylize_mask=LEFT)
    for settings in ({}, {"tv": 1.0, "image_padding": "replicate"}):
        problem, image = run_steps(controls, 3, **settings)
        before = network_units(np.asarray(problem.original.photo))
        np.testing.assert_allclose(image[:, 12:], before[:, 12:], atol=1e-3)
        assert np.abs(image - before)[:, :12].mean() > 1
