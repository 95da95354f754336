"""Coarse to fine: scales, what one hands to the next, and runs through all of them."""

import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from problems import SHALLOW, picture
from session_runs import copied_after

from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.io.demo import demo_pictures
from nstjax.io.weights import load_params
from nstjax.optimization.optimizers import make_optimizer
from nstjax.optimization.steps import run
from nstjax.optimization.transfer import style_transfer
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize, with_settings
from nstjax.problem.problem import prepare
from nstjax.problem.pyramid import (
    Scale,
    content_share,
    plan_scales,
    resample_moments,
    shown_image,
)
from nstjax.runs.stylize import stylize


def preset(name="gatys2016", **overrides):
    return customize(PRESETS[name], **{**SHALLOW, **overrides})


PARAMS = jax.tree.map(np.float32, reference.random_params())


def sides(name, content_size=(300, 400), **overrides):
    scales = plan_scales(content_size, preset(name, **overrides))
    return [max(scale.height, scale.width) for scale in scales]


def test_crowsons_scales_are_the_published_ones():
    # 512 in steps of √2 from 128 on, as style-transfer-pytorch lists them.
    assert sides("crowson2023") == [128, 181, 256, 362, 512]
    scales = plan_scales((300, 400), preset("crowson2023"))
    steps = [0, 1000, 1500, 2000, 2500, 3000]
    assert [scale[2:] for scale in scales] == list(itertools.pairwise(steps))
    for scale in scales:
        assert scale.height / scale.width == pytest.approx(0.75, abs=0.01)


def test_gatys_2017_refines_512_at_1024():
    size = Size("area", 1024)
    scales = plan_scales((512, 512), preset("gatys2017-color", size=size))
    assert scales == (Scale(512, 512, 0, 500), Scale(1024, 1024, 500, 700))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size("long", 512), [512]),
        (Size("long", 514), [257, 514]),
        (Size("long", 1024), [512, 1024]),
        (Size("long", 2048), [512, 1024, 2048]),
        (Size("short", 512), [683]),
        (Size("exact", (384, 512)), [512]),
        (Size("exact", (300, 800)), [400, 800]),
        (Size("original"), [400]),
    ],
)
def test_a_pyramid_is_the_default_for_sizes_over_512(size, expected):
    assert sides("gatys2016", size=size) == expected


def test_a_pyramid_is_the_photos_own_size_or_none():
    found = sides("gatys2016", (900, 1200), size=Size("original"))
    assert found == [300, 600, 1200]
    assert sides("gatys2016", size=Size("long", 1024), pyramid="none") == [1024]


def test_steps_of_the_later_scales_repeat_the_last_number():
    settings = preset(size=Size("long", 1024), steps=9, pyramid_steps=(5, 3))
    settings = with_settings(settings, pyramid="2", pyramid_min_size=64)
    steps = [s.last_step - s.first_step for s in plan_scales((300, 400), settings)]
    assert steps == [9, 5, 3, 3, 3]


@pytest.mark.parametrize(
    ("photo", "size", "min_size", "works"),
    [
        ((300, 400), 600, 8, 21),
        ((100, 1000), 512, 128, 160),
        ((1000, 97), 512, 128, 163),
    ],
)
def test_of_a_scale_that_is_too_small_the_least_size_is_told(
    photo, size, min_size, works
):
    settings = customize(
        PRESETS["gatys2016"],
        **{"size": Size("long", size), "pyramid": "sqrt2"},
        pyramid_min_size=min_size,
    )
    says = rf"first scale is too small.*relu5_1.*={works} instead of {min_size}"
    with pytest.raises(InputError, match=says):
        plan_scales(photo, settings)
    working = with_settings(settings, pyramid_min_size=works)
    assert min(plan_scales(photo, working)[0][:2]) >= 16


def test_a_sum_over_positions_weighs_the_same_at_every_scale():
    half_sum, mean = preset("gatys2016"), preset("gatys-code")
    for side in (128, 256, 512, 1024):
        scale = Scale(side // 2, side, 0, 1)
        assert content_share(half_sum, scale, 3) * side**2 == pytest.approx(512**2)
        assert content_share(mean, scale, 3) == 1.0
        # One scale alone is the published formula.
        assert content_share(half_sum, scale, 1) == 1.0


def moments(opt_state):
    adam = opt_state.inner_state[0]
    return adam.mu, adam.nu, adam.count


def adam_state(gradient, steps):
    """Adam's after some steps with that gradient."""

    def loss_fn(image):
        return (gradient * image).sum(), ()

    transfer = style_transfer(loss_fn, make_optimizer("adam"))

    @jax.jit
    def start():
        return transfer.init(jnp.zeros_like(gradient))

    state, step = start(), jax.jit(transfer.step)
    for _ in range(steps):
        state, _ = step(state)
    return state.opt_state


resampled = jax.jit(resample_moments)


def test_moments_are_resampled():
    # A linear ramp comes through bicubic and bilinear resampling unchanged inside.
    ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None], (8, 8, 3))
    previous = adam_state(ramp, 3)
    state = resampled(adam_state(jnp.zeros((16, 16, 3)), 0), previous)
    mu, nu, count = moments(state)
    old_mu, old_nu, _ = moments(previous)
    assert mu.shape == nu.shape == (16, 16, 3)
    assert count == 3
    inside = (np.arange(16) + 0.5) / 2 - 0.5
    for new, old in ((mu, old_mu), (nu, old_nu)):
        expected = np.interp(inside, np.arange(8), np.asarray(old)[4, :, 0])
        # Adam's second moment of a ramp is a parabola: linear between samples only.
        tolerance = 1e-5 if old is old_mu else 0.02 * expected.max()
        np.testing.assert_allclose(
            new[8, 4:12, 1], expected[4:12], rtol=1e-4, atol=tolerance
        )


def test_second_moments_stay_above_0():
    spike = jnp.zeros((8, 8, 3)).at[4, 4].set(1.0)
    state = resampled(adam_state(jnp.zeros((19, 23, 3)), 0), adam_state(spike, 1))
    mu, nu, _ = moments(state)
    assert nu.min() >= 0
    # The bicubic filter of the first moments overshoots.
    assert mu.min() < 0


def drive(problem):
    """Run every scale; {step: image} and the shapes."""
    images, infos, state = {}, [], problem.state
    while problem is not None:
        state = problem.state
        images[int(state.step), "start"] = np.array(state.image, copy=True)
        for state, info in run(
            problem.steps, state, problem.data, problem.scale.last_step
        ):
            infos.append(info)
            images[int(state.step)] = np.array(state.image, copy=True)
        problem = problem.next_scale(state)
    return images, infos, state


SMALL = {
    "size": Size("long", 48),
    "pyramid": "2",
    "pyramid_min_size": 24,
    "steps": 4,
    "pyramid_steps": (3,),
}


def small(**overrides):
    settings = preset(**SMALL | overrides)
    return prepare(picture(1, 60, 80), [picture(2, 50, 70)], PARAMS, settings)


def test_a_run_goes_through_its_scales():
    problem = small()
    assert [(s.height, s.width) for s in problem.scales] == [(18, 24), (36, 48)]
    assert problem.total_steps == 7
    images, infos, state = drive(problem)
    assert images[4].shape == (18, 24, 3)
    assert images[7].shape == (36, 48, 3)
    assert len(infos) == 7
    # The second scale starts from the first one's picture.
    expected = jax.image.resize(images[4], (36, 48, 3), "cubic")
    np.testing.assert_allclose(images[4, "start"], expected, atol=1e-3)
    assert int(state.opt_state.inner_state[0].count) == 7


def test_reset_moments_start_at_nothing():
    _, _, state = drive(small(pyramid_moments="reset"))
    assert int(state.opt_state.inner_state[0].count) == 3


def test_lbfgs_starts_anew_at_every_scale():
    _, infos, state = drive(small(optimizer="lbfgs", lbfgs_num_correction=5))
    assert int(state.step) == 7
    assert all(np.isfinite(info.loss).all() for info in infos)


def test_the_average_is_handed_on_and_shown():
    images, _, state = drive(small(keep="average", average_decay=0.5))
    iterates = [images[0, "start"], *(images[step] for step in (1, 2, 3, 4))]
    weights = 0.5 ** np.arange(5, 0, -1)
    average = sum(w * x for w, x in zip(weights, iterates, strict=True)) / weights.sum()
    expected = jax.image.resize(average, (36, 48, 3), "cubic")
    np.testing.assert_allclose(images[4, "start"], expected, atol=2e-3)
    # It starts again at each scale.
    iterates = [images[4, "start"], *(images[step] for step in (5, 6, 7))]
    weights = 0.5 ** np.arange(4, 0, -1)
    average = sum(w * x for w, x in zip(weights, iterates, strict=True)) / weights.sum()
    np.testing.assert_allclose(shown_image(state, "average"), average, atol=2e-3)


def test_stylize_returns_the_last_scale_with_all_losses():
    pictures = picture(1, 60, 80), picture(2, 50, 70)
    result = stylize(*pictures, PARAMS, preset(**SMALL), seed=3)
    assert result.image.shape == (36, 48, 3)
    assert result.losses.total.shape == (8,)


def test_luminance_is_projected_between_scales():
    images, _, _ = drive(small(color="luminance"))
    shown = images[4, "start"] + np.float32(reference.MEAN_RGB)
    np.testing.assert_allclose(np.ptp(shown, axis=2), 0, atol=1e-3)
    assert np.ptp(images[4] + np.float32(reference.MEAN_RGB), axis=2).max() > 1


def autocorrelation_length(image):
    """How far, as a share of the width, strokes look like themselves along a row."""
    grey = image.mean(2)
    # What is left without the scene's forms, which are as large at every size.
    scene = jax.image.resize(
        jax.image.resize(grey, (12, 12), "linear"), grey.shape, "cubic"
    )
    detail = np.asarray(grey - scene)
    detail = detail - detail.mean(1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(detail, 2 * detail.shape[1], axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1).sum(0)[: detail.shape[1]]
    correlation /= correlation[0]
    after = np.argmax(correlation < 0.5)
    before, below = correlation[after - 1], correlation[after]
    return (after - 1 + (before - 0.5) / (before - below)) / detail.shape[1]


@pytest.mark.slow
def test_strokes_are_as_large_beside_the_image_at_twice_the_size():
    content, style = demo_pictures()
    slim = load_params("slim")

    def strokes(size, pyramid):
        result = stylize(
            *(content, style, slim, "gatys-code"),
            **{"size": size, "pyramid": pyramid, "pyramid_min_size": 64},
            **{"steps": 40, "pyramid_steps": (20,), "init": "noise", "alpha": 0.1},
            **{"optimizer": "adam", "learning_rate": 5.0},
        )
        return autocorrelation_length(result.image)

    small = strokes(64, "none")
    assert strokes(128, "2") / small == pytest.approx(1, abs=0.2)
    # A single scale halves them, which is what the pyramid is for.
    assert strokes(128, "none") / small == pytest.approx(0.5, abs=0.15)


def flags(folder, *more):
    return [
        *("photo.png", "painting.png", f"--workdir={folder}", "--size=48", "--quiet"),
        *("--pyramid=2", "--pyramid_min_size=24", "--steps=8", "--pyramid_steps=8"),
        *("--style_layers=relu1_1", "--content_layers=relu1_1"),
        *("--optimizer=adam", "--checkpoint_every=3", "--snapshots=4,8,12"),
        *more,
    ]


def test_a_killed_pyramid_resumes_bit_equal(studio, command):
    # In the first scale, and in the second.
    copies = {step: f"killed_{step}" for step in (5, 14)}
    with copied_after("runs.session.progress_text", copies, "whole"):
        status, _, err = command(*flags("whole"))
    assert status == 0, err

    def rows_of(folder):
        lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
        return [{**json.loads(line), "seconds": 0} for line in lines]

    for killed in map(pathlib.Path, copies.values()):
        assert not (killed / "stylized.png").exists()
        status, _, err = command(*flags(killed, "--resume"))
        assert status == 0, err
        assert rows_of(killed) == rows_of("whole")
        for name in ("stylized.png", "checkpoint.safetensors", "snapshot_000008.png"):
            same = pathlib.Path("whole", name).read_bytes()
            assert (killed / name).read_bytes() == same, name
