"""One compilation for all masks, and what a run does with them."""

import logging

import jax
import numpy as np
import pytest
import reference
from masked_photo import LEFT, columns, photo_and_paintings

from nstjax.images.regions import MaskedRegion
from nstjax.images.resizing import Size
from nstjax.optimization.steps import run
from nstjax.presets.preset import customize
from nstjax.presets.published import PRESETS
from nstjax.problem.problem import prepare
from nstjax.problem.targets import Controls


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.float32, reference.random_params(blocks=3))


@pytest.fixture(scope="module")
def images():
    return photo_and_paintings()


def run_steps(params, controls, images, steps=1, **settings):
    preset = customize(
        PRESETS["gatys2016"],
        **{
            "content_layers": ("relu1_1",),
            "style_layers": ("relu1_1",),
            "optimizer": "adam",
            "size": Size("original"),
            **settings,
        },
    )
    photo, *styles = (
        np.clip((image + np.float32(reference.MEAN_RGB)) / 255, 0, 1)
        for image in images[:3]
    )
    problem = prepare(photo, styles, params, preset, controls=controls)
    for state, info in run(problem.steps, problem.state, problem.data, steps):
        pass
    return problem, np.asarray(state.image), info


def test_another_mask_and_other_weights_need_no_compilation(params, images, caplog):
    caplog.set_level(logging.WARNING)

    def cache_after(first, weights):
        mask = columns(0, first)
        rest = MaskedRegion("rest", 1 - mask, ((1, None),))
        controls = Controls(
            regions=[MaskedRegion("first", mask, ((0, None),)), rest],
            region_weights=weights,
            style_blend_weights=weights[::-1],
            stylize_mask=0.5 + mask / 2,
        )
        problem, image, _ = run_steps(params, controls, images)
        return image, problem.steps.advance._cache_size()

    image, cached = cache_after(12, (1, 2))
    with jax.log_compiles():
        other, cached_then = cache_after(15, (3, 1))
    assert cached_then == cached
    assert not [text for text in caplog.messages if text.startswith("Compiling")]
    assert (image != other).any()


def test_an_image_changes_only_inside_the_stylize_mask(params, images):
    controls = Controls(stylize_mask=LEFT)
    for settings in ({}, {"tv": 1.0, "image_padding": "replicate"}):
        problem, image, _ = run_steps(params, controls, images, 3, **settings)
        before = np.asarray(problem.original.photo) * 255 - np.float32(
            reference.MEAN_RGB
        )
        np.testing.assert_allclose(image[:, 12:], before[:, 12:], atol=1e-3)
        assert np.abs(image - before)[:, :12].mean() > 1
