"""A style image of the fine structure of one painting and the coarse one of another."""

import dataclasses

import jax
import numpy as np
import pytest
import reference
from problems import network_units, picture

from nstjax.errors import InputError
from nstjax.images.resizing import Size, resize
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize, settings_of
from nstjax.problem.preprocessing import style_in_color
from nstjax.problem.style_mixing import mix_styles
from nstjax.runs.stylize import stylize

SHALLOW = {
    "content_layers": ("relu1_1",),
    "style_layers": ("relu1_1", "conv1_2"),
    "style_layer_weights": (3.0, 0.5),
    "fine_layers": ("relu1_1",),
    "fine_layers_refined": ("relu1_1", "relu1_2"),
    "optimizer": "adam",
    "size": Size("long", 40),
    "steps": 4,
}
PYRAMID = {"pyramid": "2", "pyramid_min_size": 20, "pyramid_steps": (3,)}


def preset(**settings):
    return customize(PRESETS["gatys2016"], **{**SHALLOW, **settings})


def smooth(seed, height, width):
    """A picture without fine structure."""
    return resize(picture(seed, 4, 5), height, width, "bicubic")


PHOTO = smooth(1, 30, 40)
COARSE = smooth(2, 50, 36)
FINE = picture(3, 44, 44)
PARAMS = jax.tree.map(np.float32, reference.random_params(blocks=2))


class Painter:
    """Stands for the run of a problem; notes what it is given."""

    def __init__(self):
        self.problems, self.stages = [], []

    def __call__(self, problem, stage):
        self.problems.append(problem)
        self.stages.append(stage)
        return np.clip(problem.original.photo + 0.1, 0, 1)


def mix(**settings):
    paint = Painter()
    mixed = mix_styles(PHOTO, FINE, COARSE, PARAMS, preset(**settings), paint)
    return mixed, paint


def check_gram(problem, size):
    """The target of relu1_1 is the fine style's at that size."""
    (gram,) = problem.data.targets.style.values()
    fine = np.float64(network_units(resize(FINE, size, size, "lanczos")))
    F = reference.trunk(PARAMS, fine, ("relu1_1",), "avg", "valid")["relu1_1"]
    np.testing.assert_allclose(gram, reference.gram(F) / size**2, rtol=1e-3, atol=1)


def test_one_scale_starts_from_the_coarse_style_at_its_size():
    mixed, paint = mix()
    # 50 rows become the photo's 40 pixels on the long side.
    start = resize(COARSE, 40, 29, "lanczos")
    np.testing.assert_allclose(mixed, np.clip(start + 0.1, 0, 1), atol=1e-6)
    (stage,), (problem,) = paint.stages, paint.problems
    np.testing.assert_allclose(problem.state.image, network_units(start), atol=1e-3)
    assert problem.total_steps == 4
    # Only the fine style's statistics are asked for, at the transfer's own weight.
    assert (stage.alpha, stage.style_layers) == (0, ("relu1_1",))
    assert stage.style_layer_weights == (3.0,)
    assert float(problem.data.weights.content) == 0
    check_gram(problem, 40)


def test_the_scales_and_steps_are_the_transfers():
    mixed, paint = mix(**PYRAMID)
    sizes = [problem.state.image.shape[:2] for problem in paint.problems]
    assert sizes == [(20, 14), (40, 29)]
    assert [problem.total_steps for problem in paint.problems] == [4, 3]
    assert [len(problem.scales) for problem in paint.problems] == [1, 1]
    assert [stage.style_layers for stage in paint.stages] == [
        ("relu1_1",),
        ("relu1_1", "relu1_2"),
    ]
    # A layer that the transfer does not read weighs 1.
    assert paint.stages[1].style_layer_weights == (3.0, 1.0)
    # The second starts from what the first has made.
    first = np.clip(resize(COARSE, 20, 14, "lanczos") + 0.1, 0, 1)
    np.testing.assert_allclose(
        paint.problems[1].original.photo, resize(first, 40, 29, "lanczos"), atol=1e-5
    )
    assert mixed.shape == (40, 29, 3)


def test_the_stages_are_like_the_transfer_in_all_else():
    settings = {
        "style_loss": "moments",
        "tv": 0.5,
        "beta": 7.0,
        "adam_betas": (0.8, 0.9),
        "learning_rate": 3.0,
        "pool": "max",
        "clamp": True,
    }
    _, paint = mix(**settings, init="noise", keep="average", color="luminance")
    (stage,) = paint.stages
    assert settings.items() <= settings_of(stage).items()
    assert (stage.image.init, stage.optimizer.keep, stage.image.color) == (
        "content",
        "last",
        "style",
    )


def test_style_scale_is_the_mixed_styles_size():
    mixed, paint = mix(style_scale=0.5)
    assert mixed.shape[:2] == (20, 14)
    # The fine style is as large as the coarse one.
    check_gram(paint.problems[0], 20)


def test_both_styles_are_matched_to_the_photos_colors_first():
    settings = preset(color="match")
    mixed, paint = mix(color="match")
    coarse, fine = (style_in_color(style, PHOTO, settings) for style in (COARSE, FINE))
    assert np.abs(coarse - COARSE).mean() > 0.01
    other = Painter()
    plain = preset(color="style")
    expected = mix_styles(PHOTO, fine, coarse, PARAMS, plain, other)
    np.testing.assert_allclose(mixed, expected, atol=1e-6)
    grams, expected = (
        some.problems[0].data.targets.style["relu1_1"] for some in (paint, other)
    )
    np.testing.assert_allclose(grams, expected, rtol=1e-5)
    # Colors that are seen to after the transfer are the styles' until then.
    after, _ = mix(color="match", color_when="after")
    np.testing.assert_allclose(after, mix()[0], atol=1e-6)


def detail(image):
    """Mean step between neighbors."""
    return np.abs(np.diff(image, axis=0)).mean() + np.abs(np.diff(image, axis=1)).mean()


def test_stylize_paints_in_the_mixed_style():
    def paint(problem, stage):
        return stylize(problem.original.photo, FINE, PARAMS, stage).image

    settings = preset(steps=25, fine_layers=("relu1_1", "relu1_2"))
    mixed = mix_styles(PHOTO, FINE, COARSE, PARAMS, settings, paint)
    # The strokes are the fine style's, the forms the coarse one's.
    start = resize(COARSE, 40, 29, "lanczos")
    assert detail(mixed) > 1.5 * detail(start)
    forms, mixed_forms = (resize(image, 5, 4, "box") for image in (start, mixed))
    assert np.corrcoef(forms.ravel(), mixed_forms.ravel())[0, 1] > 0.8
    settings = dataclasses.replace(settings, steps=3)
    mixed = mix_styles(PHOTO, FINE, COARSE, PARAMS, settings, paint)
    result = stylize(PHOTO, COARSE, PARAMS, settings, fine_style=FINE)
    expected = stylize(PHOTO, mixed, PARAMS, settings)
    np.testing.assert_allclose(result.image, expected.image, atol=1e-4)
    assert result.losses.total.shape == (4,)
    assert (result.image != stylize(PHOTO, COARSE, PARAMS, settings).image).any()


def test_layers_that_leave_nothing_of_a_scale_are_refused():
    with pytest.raises(InputError, match="too small for relu2_2"):
        mix(
            **PYRAMID | {"pyramid_min_size": 2, "fine_layers": ("relu2_2",)},
            style_layers=("relu1_1",),
            content_layers=("relu1_1",),
            style_layer_weights=(1.0,),
        )
