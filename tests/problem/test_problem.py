import dataclasses

import jax
import numpy as np
import pytest
import reference
from cut_presets import cut
from problems import MEAN, network_units, picture, shallow, small

from nstjax.errors import InputError
from nstjax.images.resizing import Size, resize
from nstjax.optimization.steps import run
from nstjax.presets.preset import customize
from nstjax.presets.published import CONV_STYLE_LAYERS, PRESETS
from nstjax.problem.problem import make_weights, prepare
from nstjax.problem.targets import Controls

# What each rule makes of pictures of 48x60: one size, whose programs presets share.
SIDES = {"short": 36, "long": 45, "width": 45, "area": 40, "exact": (36, 45)}


def small_cut(name, **overrides):
    """A small preset that ends early, and its program."""
    preset, program = cut(name)
    rule = preset.image.size.rule
    # L-BFGS, which compiles for longer, is the same for all that have it.
    if name != "gatys2016":
        overrides["optimizer"] = "adam"
    return customize(preset, size=Size(rule, SIDES[rule]), **overrides), program


def start(preset, params, content, styles, **options):
    return np.asarray(prepare(content, styles, params, preset, **options).state.image)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(np.float32, reference.random_params())


@pytest.fixture(scope="module")
def content():
    return picture(1, 32, 40)


@pytest.fixture(scope="module")
def style():
    return picture(2, 36, 33)


def test_compilations_are_seen(compilations):
    jax.jit(lambda x: x + 1)(np.zeros(3))
    assert len(compilations()) == 1


@pytest.mark.parametrize("name", PRESETS)
def test_prepare_runs_every_preset_and_compiles_once(name, params, compilations):
    preset, _ = small_cut(name)

    def two_steps(seed, preset):
        problem = prepare(
            picture(seed, 48, 60),
            [picture(seed + 1, 48, 60)],
            params,
            preset,
            seed=seed,
        )
        losses = []
        for state, info in run(problem.steps, problem.state, problem.data, 2):
            losses.extend(info.loss)
        return problem, np.asarray(state.image), losses

    problem, image, losses = two_steps(1, preset)
    assert image.shape == (36, 45, 3)
    assert np.isfinite(image).all()
    assert np.isfinite(losses).all()
    assert problem.original.size == (48, 60)

    compiled = len(compilations())
    cached = problem.steps.advance._cache_size()
    other = customize(preset, alpha=3.0, beta=7.0, tv=0.1, learning_rate=0.5)
    _, _, other_losses = two_steps(5, other)
    assert compilations()[compiled:] == []
    assert problem.steps.advance._cache_size() == cached
    assert other_losses != losses


@pytest.mark.parametrize("name", PRESETS)
def test_prepare_starts_at_the_presets_loss(name, params, monkeypatch):
    # The first loss against the reference, from the pictures to the number: sizes,
    # units, targets, weights and structure. The pictures need no resizing.
    preset, program = small_cut(name, init="style", color="style")
    monkeypatch.setitem(reference.PROGRAMS, name, program)
    content, style = picture(1, 36, 45), picture(2, 36, 45)
    problem = prepare(content, [style], params, preset)
    pair = [content, style]
    if name == "matlab":
        pair = [(image - image.min()) / (image.max() - image.min()) for image in pair]
    first, second = (network_units(np.float64(image)) for image in pair)
    np.testing.assert_allclose(problem.state.image, second, atol=1e-3)
    # Another image than the style's own, where the style term would be nothing.
    image = np.float32(0.5 * first + 0.5 * second)
    state = problem.state._replace(image=jax.numpy.asarray(image))
    ((_, info),) = run(problem.steps, state, problem.data, 1)
    expected = reference.total_loss(name, params, np.float64(image), first, second)
    np.testing.assert_allclose(
        (info.loss[0], info.terms.content[0], info.terms.style[0], info.terms.tv[0]),
        expected,
        rtol=2e-3,
    )


@pytest.mark.parametrize(
    ("preset_size", "style_size", "expected"),
    [
        (Size("long", 20), None, (20, 10)),
        (Size("exact", (16, 24)), "content", (16, 24)),
        (Size("exact", (16, 24)), None, (24, 12)),
        (Size("width", 20), "content_width", (40, 20)),
        (Size("long", 20), Size("original"), (30, 15)),
        (Size("long", 20), Size("short", 8), (16, 8)),
    ],
)
def test_prepare_sizes_the_painting(
    preset_size, style_size, expected, params, content, monkeypatch
):
    sizes = []

    class BothSeenError(Exception):
        """What follows would compile for each of the sizes."""

    def note_size(image, height, width, resample):
        sizes.append((height, width))
        if len(sizes) == 2:
            raise BothSeenError
        return resize(image, height, width, resample)

    monkeypatch.setattr("nstjax.problem.preprocessing.resize", note_size)
    preset = dataclasses.replace(shallow(), size=preset_size, style_size=style_size)
    with pytest.raises(BothSeenError):
        prepare(content, [picture(2, 30, 15)], params, preset)
    assert sizes[1] == expected


def test_prepare_rejects_pictures_that_leave_nothing_of_a_layer(params, content):
    with pytest.raises(InputError, match="too small for relu5_1"):
        prepare(content, [picture(2, 8, 60)], params, small("gatys2016"))
    with pytest.raises(InputError, match="too small for relu5_1"):
        prepare(picture(2, 8, 60), [content], params, small("gatys2016"))


def test_prepare_starts_at_the_content(params, content, style):
    image = start(shallow(init="content"), params, content, [style])
    np.testing.assert_allclose(image, network_units(content), atol=1e-4)


def test_prepare_starts_at_the_first_style_of_the_contents_size(params, content, style):
    image = start(shallow(init="style"), params, content, [style, content])
    expected = network_units(resize(style, 32, 40, "lanczos"))
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_prepare_starts_at_johnsons_noise(params, content, style):
    image = start(shallow("johnson2015"), params, content, [style])
    sample = image / 1e-3
    # 3840 numbers: their mean is within 5 standard errors of 0, 5/√3840 = 0.08.
    assert abs(sample.mean()) < 0.08
    assert abs(sample.std() - 1) < 0.06
    # Normal, not uniform: a third lies past one standard deviation, some past three.
    assert abs(np.mean(np.abs(sample) > 1) - 0.317) < 0.04
    assert np.abs(sample).max() > 3


def test_prepare_starts_at_courseras_blend(params, content, style):
    image = start(shallow("coursera"), params, content, [style])
    noise = (image - 0.4 * network_units(content)) / 0.6
    assert 19.8 < noise.max() < 20.001
    assert -19.8 > noise.min() > -20.001
    # Flat: the variance of U(-20, 20) is 20²/3.
    assert abs(noise.var() / (20**2 / 3) - 1) < 0.06
    assert abs(noise.mean()) < 1


def test_prepare_starts_at_matlabs_blend(params, content, style):
    image = start(shallow("matlab"), params, content, [style])
    stretched = (content - content.min()) / (content.max() - content.min())
    noise = (image - 0.3 * network_units(stretched)) / 0.7
    whole = np.round(noise)
    np.testing.assert_allclose(noise, whole, atol=1e-3)
    # All of -20, …, 20, both ends included.
    assert set(whole.ravel()) == set(range(-20, 21))


def test_prepare_starts_at_a_share_of_noise(params, content, style):
    preset = shallow("coursera", noise_ratio=0.0)
    image = start(preset, params, content, [style])
    np.testing.assert_allclose(image, network_units(content), atol=1e-4)


@pytest.mark.parametrize("size", [(32, 40), (64, 80)])
def test_prepare_starts_at_an_image_of_either_size(size, params, style):
    init = picture(3, *size)
    image = start(
        shallow("johnson2015"), params, picture(1, 64, 80), [style], init_image=init
    )
    expected = network_units(resize(init, 32, 40, "lanczos"))
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_prepare_rejects_an_init_image_of_another_size(params, content, style):
    with pytest.raises(InputError, match="init image has 41x32 pixels"):
        prepare(content, [style], params, shallow(), init_image=picture(3, 32, 41))


def test_prepare_seed_decides_the_noise(params, content, style):
    images = [
        start(shallow("johnson2015"), params, content, [style], seed=seed)
        for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert not np.allclose(images[0], images[2])


def test_prepare_blends_the_grams_of_the_paintings(params, content, style):
    other = picture(9, 20, 24)
    preset = shallow()
    alone = [
        prepare(content, [image], params, preset).data[1].style
        for image in (style, other)
    ]
    for weights, shares in (
        ([1, 3], (0.25, 0.75)),
        (None, (0.5, 0.5)),
        ([1e308, 1e308], (0.5, 0.5)),
    ):
        both = prepare(
            content,
            [style, other],
            params,
            preset,
            controls=Controls(style_blend_weights=weights),
        )
        for layer, blended in both.data[1].style.items():
            expected = shares[0] * alone[0][layer] + shares[1] * alone[1][layer]
            np.testing.assert_allclose(blended, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 values for 2 style images"),
        ([1.0, 2.0, 3.0], "3 values for 2 style images"),
        ([], "0 values"),
        ([1.0, -1.0], "0 or more"),
        ([0.0, 0.0], "not all 0"),
        ([1.0, np.nan], "finite"),
        ([1.0, np.inf], "finite"),
    ],
)
def test_prepare_rejects_blend_weights(weights, message, params, content, style):
    with pytest.raises(InputError, match=message):
        controls = Controls(style_blend_weights=weights)
        prepare(content, [style] * 2, params, shallow(), controls=controls)


def test_prepare_rejects_no_painting(params, content):
    with pytest.raises(InputError, match="no style image"):
        prepare(content, [], params, shallow())


def test_prepare_clamps_to_the_displayable_range(params, content, style):
    preset = shallow(clamp=True, learning_rate=60.0)
    problem = prepare(content, [style], params, preset)
    for state, _ in run(problem.steps, problem.state, problem.data, 3):
        shown = np.asarray(state.image) + MEAN
        assert shown.min() >= -1e-3
        assert shown.max() <= 255 + 1e-3
    assert shown.min() < 1e-3
    assert shown.max() > 255 - 1e-3


def test_make_weights_are_the_presets():
    weights = make_weights(customize(PRESETS["matlab"], tv=0.5))
    assert {leaf.dtype for leaf in jax.tree.leaves(weights)} == {np.dtype(np.float32)}
    assert (weights.content, weights.style, weights.tv) == (1, 1000, 0.5)
    assert weights.content_layers == {"conv4_2": 1}
    expected = dict(zip(CONV_STYLE_LAYERS, (0.5, 1, 1.5, 3, 4), strict=True))
    assert weights.style_layers == expected
