"""Targets and whole runs by tiles are those without."""

import jax
import numpy as np
import pytest
import reference
from problems import network_units, picture, shallow

from nstjax.errors import InputError
from nstjax.images.regions import MaskedRegion
from nstjax.images.resizing import Size
from nstjax.optimization.steps import run
from nstjax.presets.settings import customize
from nstjax.problem.problem import evaluate, prepare
from nstjax.problem.targets import Controls, make_targets

# The second painting is a single window.
PHOTO, PAINTINGS = (70, 90), ((83, 61), (20, 24))
SMALL_PHOTO = (38, 50)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.float32, reference.random_params(blocks=3))


def halves(height, width):
    mask = np.zeros((height, width), np.float32)
    mask[:, : width // 2] = 1
    return mask


@pytest.mark.parametrize(
    "style_loss",
    # Grams are those of the whole runs below. Covariances are gathered as moments are.
    ["moments", "histogram"],
)
def test_targets_by_tiles_are_those_without(style_loss, params):
    preset = shallow(
        content_layers=("relu2_1", "relu1_2"),
        # More layers of one loss take the same way, and each compiles anew.
        style_layers=("relu2_1",),
        style_loss=style_loss,
        gram_normalization="chw",
    )
    photo, *paintings = (
        network_units(picture(seed, *size))
        for seed, size in enumerate((PHOTO, *PAINTINGS))
    )
    left = halves(*PHOTO)
    of_painting = halves(*PAINTINGS[0])
    controls = Controls(
        regions=[
            MaskedRegion("left", left, ((0, of_painting), (1, None))),
            MaskedRegion("right", 1 - left, ((0, None),)),
        ]
    )
    expected, found = (
        make_targets(
            params, photo, paintings, preset, controls, jax.random.key(0), tile
        )
        for tile in (None, 16)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max()
        ),
        found,
        expected,
    )


def small_run(params, tile, **options):
    settings = {
        "content_layers": ("relu1_1",),
        "style_layers": ("relu1_1",),
        "size": Size("exact", SMALL_PHOTO),
        "steps": 3,
        "learning_rate": None,
    }
    preset = customize(shallow(), **{**settings, **options})
    controls = Controls(stylize_mask=halves(*SMALL_PHOTO))
    problem = prepare(
        picture(0, *SMALL_PHOTO),
        [picture(1, *SMALL_PHOTO)],
        params,
        preset,
        controls=controls,
        tile=tile,
    )
    return problem


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 2, "optimizer": "adam", "keep": "average", "clamp": True},
        # A second step would be the difference of two gradients that are almost equal.
        {"optimizer": "lbfgs", "lbfgs_num_correction": 3, "steps": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_by_tiles_ends_with_the_same_image(options, params, compilations):
    ended = []
    for tile in (None, 16):
        problem = small_run(params, tile, **options)
        assert problem.steps.longest == 1
        infos = []
        for state, info in run(
            problem.steps, problem.state, problem.data, problem.total_steps
        ):
            infos.append(info)
            if len(infos) == 1:
                before = len(compilations())
        state, info = evaluate(problem, state)
        # The steps after the first run what it has compiled.
        assert len(compilations()) == before > 0
        ended.append((state, [*infos, info]))
    (whole, whole_infos), (tiled, tiled_infos) = ended
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        tiled_infos,
        whole_infos,
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-2),
        (tiled.finite_image, tiled.best_image, tiled.average, tiled.step),
        (whole.finite_image, whole.best_image, whole.average, whole.step),
    )


def test_a_picture_of_one_window_runs_as_without_tiles(params):
    assert small_run(params, 512).steps is small_run(params, None).steps
    assert small_run(params, 16).steps is not small_run(params, None).steps


def test_what_cannot_go_by_tiles_says_so(params):
    with pytest.raises(InputError, match="choose optimizer=lbfgs or adam"):
        small_run(params, 16, optimizer="lbfgs-linesearch")
    with pytest.raises(InputError, match=r"multiple of 2 pixels.*got 17"):
        small_run(params, 17, style_layers=("relu1_1", "relu2_1"))
