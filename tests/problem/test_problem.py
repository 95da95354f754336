import jax
import numpy as np
import pytest
import reference
from cut_presets import cut
from problems import MEAN, network_units, picture, shallow, small

from nstjax.errors import InputError
from nstjax.images.resizing import Size, resize
from nstjax.optimization.steps import run
from nstjax.presets.published import CONV_STYLE_LAYERS, PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.problem import make_weights, prepare

# What each rule makes of pictures of 48x60: one size, whose programs presets share.
SIDES = {"short": 36, "long": 45, "width": 45, "area": 40, "exact": (36, 45)}
PARAMS = jax.tree.map(np.float32, reference.random_params())
CONTENT, STYLE = picture(1, 32, 40), picture(2, 36, 33)


def small_cut(name, **overrides):
    """A small preset that ends early, and its program."""
    preset, program = cut(name)
    rule = preset.image.size.rule
    # L-BFGS, which compiles for longer, is the same for all that have it.
    if name != "gatys2016":
        overrides["optimizer"] = "adam"
    return customize(preset, size=Size(rule, SIDES[rule]), **overrides), program


@pytest.mark.parametrize("name", PRESETS)
def test_prepare_runs_every_preset_and_compiles_once(name, compilations):
    preset, _ = small_cut(name, **({"init": "content"} if name == "quick" else {}))

    def two_steps(seed, preset):
        content, style = picture(seed, 48, 60), picture(seed + 1, 48, 60)
        problem = prepare(content, [style], PARAMS, preset, seed=seed)
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
def test_prepare_starts_at_the_presets_loss(name, monkeypatch):
    # The first loss against the reference, from the pictures to the number: sizes,
    # units, targets, weights and structure. The pictures need no resizing.
    preset, program = small_cut(name, init="style", color="style")
    monkeypatch.setitem(reference.PROGRAMS, name, program)
    content, style = picture(1, 36, 45), picture(2, 36, 45)
    problem = prepare(content, [style], PARAMS, preset)
    pair = [content, style]
    if name == "matlab":
        pair = [(image - image.min()) / (image.max() - image.min()) for image in pair]
    first, second = (network_units(np.float64(image)) for image in pair)
    np.testing.assert_allclose(problem.state.image, second, atol=1e-3)
    # Another image than the style's own, where the style term would be nothing.
    image = np.float32(0.5 * first + 0.5 * second)
    state = problem.state._replace(image=jax.numpy.asarray(image))
    ((_, info),) = run(problem.steps, state, problem.data, 1)
    expected = reference.total_loss(name, PARAMS, np.float64(image), first, second)
    np.testing.assert_allclose(
        (info.loss[0], info.terms.content[0], info.terms.style[0], info.terms.tv[0]),
        expected,
        rtol=2e-3,
    )


@pytest.mark.parametrize(
    ("content", "styles", "options", "message"),
    [
        (CONTENT, [picture(2, 8, 60)], {}, "too small for relu5_1"),
        (picture(2, 8, 60), [CONTENT], {}, "too small for relu5_1"),
        (CONTENT, [], {}, "no style image"),
        (
            CONTENT,
            [STYLE],
            {"init_image": picture(3, 32, 41)},
            "init image has 41x32 pixels",
        ),
    ],
)
def test_prepare_rejects_pictures(content, styles, options, message):
    with pytest.raises(InputError, match=message):
        prepare(content, styles, PARAMS, small("gatys2016"), **options)


def start(preset, content=CONTENT, styles=(STYLE,), **options):
    return np.asarray(prepare(content, styles, PARAMS, preset, **options).state.image)


def test_prepare_starts_at_the_content():
    for preset in (shallow(init="content"), shallow("coursera", noise_ratio=0.0)):
        np.testing.assert_allclose(start(preset), network_units(CONTENT), atol=1e-4)


def test_prepare_starts_at_the_first_style_of_the_contents_size():
    image = start(shallow(init="style"), styles=[STYLE, CONTENT])
    expected = network_units(resize(STYLE, 32, 40, "lanczos"))
    np.testing.assert_allclose(image, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(32, 40), (64, 80)])
def test_prepare_starts_at_an_image_of_either_size(size):
    init = picture(3, *size)
    image = start(shallow("johnson2015"), picture(1, 64, 80), init_image=init)
    expected = network_units(resize(init, 32, 40, "lanczos"))
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_prepare_starts_at_johnsons_noise():
    sample = start(shallow("johnson2015")) / 1e-3
    # 3840 numbers: their mean is within 5 standard errors of 0, 5/√3840 = 0.08.
    assert abs(sample.mean()) < 0.08
    assert abs(sample.std() - 1) < 0.06
    # Normal, not uniform: a third lies past one standard deviation, some past three.
    assert abs(np.mean(np.abs(sample) > 1) - 0.317) < 0.04
    assert np.abs(sample).max() > 3


def test_prepare_starts_at_courseras_blend():
    noise = (start(shallow("coursera")) - 0.4 * network_units(CONTENT)) / 0.6
    assert 19.8 < noise.max() < 20.001
    assert -19.8 > noise.min() > -20.001
    # Flat: the variance of U(-20, 20) is 20²/3.
    assert abs(noise.var() / (20**2 / 3) - 1) < 0.06
    assert abs(noise.mean()) < 1


def test_prepare_starts_at_matlabs_blend():
    stretched = (CONTENT - CONTENT.min()) / (CONTENT.max() - CONTENT.min())
    noise = (start(shallow("matlab")) - 0.3 * network_units(stretched)) / 0.7
    whole = np.round(noise)
    np.testing.assert_allclose(noise, whole, atol=1e-3)
    # All of -20, …, 20, both ends included.
    assert set(whole.ravel()) == set(range(-20, 21))


def test_prepare_seed_decides_the_noise():
    images = [start(shallow("johnson2015"), seed=seed) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(images[0], images[1])
    assert not np.allclose(images[0], images[2])


def test_prepare_clamps_to_the_displayable_range():
    preset = shallow(clamp=True, learning_rate=60.0)
    problem = prepare(CONTENT, [STYLE], PARAMS, preset)
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


def test_each_random_key_has_one_purpose():
    keys = prepare(
        picture(1, 16, 20), [picture(2, 16, 20)], PARAMS, shallow()
    ).inputs.keys
    folded = {
        jax.random.key_data(jax.random.fold_in(key, number)).tobytes()
        for key in keys
        for number in range(3)
    }
    assert len(folded) == 9
