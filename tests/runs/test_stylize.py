import jax
import numpy as np
import pytest
import reference
from problems import SHALLOW, picture, shallow

import nstjax
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.optimization.steps import run
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import prepare
from nstjax.runs.stylize import stylize


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.float32, reference.random_params())


@pytest.fixture(scope="module")
def stylized(params):
    content, style = picture(1, 48, 64), picture(2, 40, 44)
    pictures = (content, style, params, shallow("matlab"))
    return {
        keep: stylize(*pictures, steps=12, keep=keep, learning_rate=8)
        for keep in ("best", "last")
    }


def test_stylize_losses_are_of_the_images_after_0_to_all_steps(stylized, params):
    result = stylized["last"]
    for losses in jax.tree.leaves(result.losses):
        assert losses.shape == (13,)
        assert np.isfinite(losses).all()
    assert result.losses.total[-1] < 0.5 * result.losses.total[0]
    assert result.best_step == np.argmin(result.losses.total)
    weighted = (
        result.preset.alpha * result.losses.content
        + result.preset.beta * result.losses.style
        + result.preset.tv * result.losses.tv
    )
    np.testing.assert_allclose(result.losses.total, weighted, rtol=1e-5)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_stylize_image_is_of_the_step_that_the_preset_keeps(stylized, params, keep):
    result = stylized[keep]
    pictures = picture(1, 48, 64), [picture(2, 40, 44)]
    problem = prepare(*pictures, params, result.preset, seed=0)
    images = [np.array(problem.state.image, copy=True)]
    for state, _ in run(problem.steps, problem.state, problem.data, 12):
        images.append(np.array(state.image, copy=True))
    assert 0 < result.best_step < 12
    expected = images[result.best_step if keep == "best" else -1]
    finished = finish(expected, result.preset, problem.original)
    assert (result.image.shape, result.image.dtype) == ((48, 64, 3), np.float32)
    assert 0 <= result.image.min() <= result.image.max() <= 1
    np.testing.assert_allclose(result.image, finished, atol=1e-4)


def test_stylize_takes_names_sizes_and_uint8(params):
    content = np.uint8(255 * picture(1, 32, 64))
    result = stylize(
        *(content, [content, picture(2, 20, 20)], params, "gatys-code"),
        **{**SHALLOW, "steps": 1, "size": 16, "style_blend_weights": [1, 2]},
    )
    # A number alone follows the preset's own rule, here the short side.
    assert result.preset.image.size == Size("short", 16)
    assert result.image.shape == (16, 32, 3)
    assert nstjax.stylize is stylize


def test_stylize_rejects_no_painting(params):
    with pytest.raises(InputError, match="no style image"):
        stylize(picture(1, 32, 40), [], params)
