"""Style transfer from Python: its losses, its image, and what it takes."""

import logging

import jax
import numpy as np
import pytest
import reference
from PIL import Image
from problems import SHALLOW, picture, shallow
from region_maps import LEFT, PAINTINGS, PHOTO, RED_BLUE, RIGHT, STYLE_MAP

import nstjax
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.io.images import write_image
from nstjax.optimization.steps import run
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import prepare
from nstjax.runs.stylize import stylize

BRIEF = {**SHALLOW, "steps": 2, "size": "original"}


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.float32, reference.random_params())


# At a rate of 8 the loss rises in the end.
@pytest.mark.parametrize(("keep", "rate"), [("best", 8), ("last", 8), ("best", 1)])
def test_losses_are_of_every_step_and_the_image_of_the_one_that_is_kept(
    params, keep, rate
):
    pictures = picture(1, 48, 64), [picture(2, 40, 44)], params
    settings = {"steps": 12, "keep": keep, "learning_rate": rate}
    result = stylize(*pictures, shallow("matlab"), **settings)
    for losses in jax.tree.leaves(result.losses):
        assert losses.shape == (13,)
        assert np.isfinite(losses).all()
    total = result.losses.total
    assert total[-1] < 0.5 * total[0]
    assert result.best_step == np.argmin(total)
    assert (result.best_step < 12) == (rate == 8)
    weighted = (
        result.preset.alpha * result.losses.content
        + result.preset.beta * result.losses.style
        + result.preset.tv * result.losses.tv
    )
    np.testing.assert_allclose(total, weighted, rtol=1e-5)

    problem = prepare(*pictures, result.preset, seed=0)
    images = [np.array(problem.state.image, copy=True)]
    for state, _ in run(problem.steps, problem.state, problem.data, 12):
        images.append(np.array(state.image, copy=True))
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


def test_stylize_takes_controls(params, tmp_path, caplog):
    caplog.set_level(logging.INFO, "nstjax")
    Image.fromarray(RED_BLUE).save(tmp_path / "map.png")

    def painted(paintings=PAINTINGS, **controls):
        return stylize(PHOTO, paintings, params, **BRIEF, **controls).image

    whole, regions = painted(), painted(content_mask=tmp_path / "map.png")
    assert caplog.messages == [
        "region #ff0000 (50 % of the photo): style image 1; region #0000ff (50 %): "
        "style image 2"
    ]
    assert (regions != whole).any()
    np.testing.assert_array_equal(painted(content_mask=[LEFT, RIGHT]), regions)
    crossed = {"content_mask": RED_BLUE, "style_regions": ("blue", "1")}
    np.testing.assert_array_equal(painted(PAINTINGS[::-1], **crossed), regions)
    for other in ({"region_weights": (1, 2)}, {"style_masks": [STYLE_MAP, None]}):
        assert (painted(content_mask=RED_BLUE, **other) != regions).any()
    kept = painted(stylize_mask=Image.fromarray(LEFT))
    np.testing.assert_allclose(kept[:, 20:], PHOTO[:, 20:], atol=1e-5)
    assert np.abs(kept - PHOTO)[:, :20].mean() > 0.005
    assert (painted(style_image_layers=[("relu1_1",), None]) != whole).any()


def test_stylize_starts_from_a_picture_and_paints_by_tiles(params, tmp_path):
    start = np.float32(np.uint8(255 * picture(5, 32, 40)) / 255)
    write_image(tmp_path / "start.png", start)

    def totals(**options):
        return stylize(PHOTO, PAINTINGS, params, **BRIEF, **options).losses.total

    whole = totals(init_image=start)
    assert abs(totals()[0] / whole[0] - 1) > 0.01
    for split in ({"tile": 16}, {"mesh": "rows=1"}, {"memory_gb": 50}):
        found = totals(init=str(tmp_path / "start.png"), **split)
        np.testing.assert_allclose(found, whole, rtol=1e-4)


@pytest.mark.parametrize(
    ("paintings", "options", "message"),
    [
        ([], {}, "no style image"),
        (PAINTINGS, {"style_blend_weights": [1]}, "1 values for 2 style images"),
        (PAINTINGS, {"fine_style": PHOTO}, "fine_style goes with one style image, the"),
        (PAINTINGS, {"style_loss": "other"}, "style_loss must be one of gram, moments"),
        (PAINTINGS, {"init": "nowhere.png"}, "nowhere.png does not exist"),
        (PAINTINGS, {"memory_gb": 1e-9}, "choose a smaller size"),
    ],
)
def test_stylize_refuses_in_one_line(paintings, options, message, params):
    with pytest.raises(InputError, match=message) as raised:
        nstjax.stylize(PHOTO, paintings, params, **BRIEF, **options)
    assert "\n" not in str(raised.value)
