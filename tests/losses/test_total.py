import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cut_presets import cut

from nstjax.losses.terms import Region, Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.vgg import features
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import loss_structure
from nstjax.problem.problem import make_weights
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import style_target

# relu5_1 keeps 2×2 or 3×3 positions of it; both sides are odd at several depths.
HEIGHT, WIDTH = 33, 37

# Of presets that have one program, one. They end early, and compile sooner.
DIFFERENT = [name for name in PRESETS if not name.startswith("gatys2017")]
PUBLISHED = dict(reference.PROGRAMS)
HERE = {name: cut(name) for name in DIFFERENT}
# Those whose terms and trunks differ most.
IN_FLOAT32 = ["matlab", "crowson2023"]


@functools.cache
def compiled(**structure):
    """Targets and the loss with its gradient, for presets of one structure to share."""
    trunk = {
        name: structure[name] for name in ("pool", "pool_padding", "image_padding")
    }
    form = StyleForm(structure["style_loss"], structure["gram_normalization"])

    def make_targets(params, content_image, style_image, content_layers, style_layers):
        descriptions = style_statistics(
            params,
            style_image,
            style_layers,
            **trunk,
            style_loss=form.style_loss,
            gram_normalization=form.gram_normalization,
        )
        return Targets(
            features(params, content_image, content_layers, **trunk),
            {layer: style_target(descriptions[layer], form) for layer in style_layers},
        )

    def loss_fn(image, params, targets, weights):
        return total_loss(params, image, targets, weights, **structure)

    return (
        jax.jit(make_targets, static_argnums=(3, 4)),
        jax.jit(jax.value_and_grad(loss_fn, has_aux=True)),
    )


def problem(preset, params, content_image, style_image, dtype=np.float64):
    """A preset's loss with gradient, and what it takes beside the image."""
    make_targets, evaluate = compiled(**loss_structure(preset))
    inputs = jax.tree.map(dtype, (params, content_image, style_image))
    targets = make_targets(*inputs, preset.content_layers, preset.style_layers)
    weights = Weights(
        *(preset.alpha, preset.beta, preset.tv),
        dict(zip(preset.content_layers, preset.content_layer_weights, strict=True)),
        dict(zip(preset.style_layers, preset.style_layer_weights, strict=True)),
    )
    return evaluate, (inputs[0], targets, jax.tree.map(dtype, weights))


@pytest.fixture(autouse=True, scope="module")
def programs():
    """The reference's, cut likewise."""
    with pytest.MonkeyPatch.context() as patch:
        for name, (_, program) in HERE.items():
            patch.setitem(reference.PROGRAMS, name, program)
        yield


@pytest.fixture(scope="module")
def params():
    return reference.random_params()


@pytest.fixture(scope="module")
def pictures():
    return [reference.random_image(seed, HEIGHT, WIDTH) for seed in (1, 2, 3)]


def test_programs_of_the_reference_are_the_presets():
    assert set(reference.PROGRAMS) == set(PRESETS)


def test_presets_of_one_program_have_one_loss():
    expected, *others = (
        (loss_structure(PRESETS[name]), make_weights(PRESETS[name]))
        for name in ("gatys-code", *(name for name in PRESETS if name not in DIFFERENT))
    )
    assert others == [expected] * 3


@pytest.mark.parametrize("name", DIFFERENT)
def test_total_loss_and_gradient_equal_the_reference(name, params, pictures, float64):
    assert_equal_the_reference(name, HERE[name][0], params, pictures)


# The real depth of all, which takes long to compile.
@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_deep_loss_and_gradient_equal_the_reference(
    name, params, pictures, monkeypatch, float64
):
    monkeypatch.setitem(reference.PROGRAMS, name, PUBLISHED[name])
    assert_equal_the_reference(name, PRESETS[name], params, pictures)


def assert_equal_the_reference(name, preset, params, pictures):
    image, content_image, style_image = pictures
    evaluate, data = problem(preset, params, content_image, style_image)
    (loss, terms), _ = evaluate(image, *data)
    expected = reference.total_loss(name, params, image, content_image, style_image)
    assert loss.dtype == jnp.float64
    # An iteration finds Wasserstein's square root, but for the smallest eigenvalues of
    # relu5_1's four positions.
    rtol = 1e-4 if name == "crowson2023" else 1e-10
    np.testing.assert_allclose(
        (loss, terms.content, terms.style, terms.tv), expected, rtol=rtol
    )
    # The gradient, without the total variation's, which would hide it where it is
    # large.
    *most, weights = data
    _, gradient = evaluate(image, *most, weights._replace(tv=np.float64(0)))

    def published(image):
        terms = reference.total_loss(name, params, image, content_image, style_image)
        return weights.content * terms.content + weights.style * terms.style

    # ReLUs, maxima and |d| have kinks, which a random direction crosses in proportion
    # to the step: two steps that agree tell that neither crossed one that matters.
    direction = np.random.default_rng(7).normal(size=image.shape)
    slopes = [
        (published(image + step * direction) - published(image - step * direction))
        / (2 * step)
        for step in (2e-5, 1e-5)
    ]
    scale = np.linalg.norm(gradient)
    np.testing.assert_allclose(*slopes, atol=1e-5 * scale, rtol=0)
    np.testing.assert_allclose(
        np.vdot(gradient, direction), slopes[1], atol=1e-5 * scale, rtol=0
    )


@pytest.mark.parametrize("name", IN_FLOAT32)
def test_total_loss_in_float32_is_near_the_reference(name, params, pictures):
    image, content_image, style_image = pictures
    evaluate, data = problem(
        HERE[name][0], params, content_image, style_image, np.float32
    )
    (loss, terms), _ = evaluate(np.float32(image), *data)
    expected = reference.total_loss(name, params, image, content_image, style_image)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(
        (loss, terms.content, terms.style, terms.tv), expected, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, np.float64) for name in DIFFERENT),
        *((name, np.float32) for name in IN_FLOAT32),
    ],
)
def test_total_loss_has_a_finite_gradient_at_constant_images(
    name, dtype, params, pictures
):
    # Equal pixels are where |dx| has its kink and where every maximum is a tie.
    with jax.enable_x64(dtype == np.float64):
        evaluate, data = problem(HERE[name][0], params, *pictures[1:], dtype)
        for level in (0, 100):
            image = np.full((HEIGHT, WIDTH, 3), level, dtype)
            (loss, _), gradient = evaluate(image, *data)
            assert gradient.dtype == dtype
            assert np.isfinite(loss)
            assert np.isfinite(gradient).all()
            assert np.abs(gradient).max() > 0


@pytest.fixture(scope="module")
def small():
    """A problem of one layer in float32: loss(image, weights, regions=())."""
    params = jax.tree.map(np.float32, reference.random_params(blocks=1))
    image, content, *styles = (
        np.float32(reference.random_image(seed, 9, 11)) for seed in (1, 2, 3, 4)
    )

    @jax.jit
    def statistics(style):
        return style_statistics(params, style, ("relu1_1",))

    photo = jax.jit(lambda photo: features(params, photo, ("relu1_1",)))(content)
    style, other_style = map(statistics, styles)
    weights = Weights(
        *np.float32([2.0, 3.0, 0.5]),
        {"relu1_1": np.float32(0.25)},
        {"relu1_1": np.float32(0.4)},
    )
    guides = {"relu1_1": np.float32(reference.half_guide(9, 11))}

    @jax.jit
    def loss_fn(image, weights, regions=()):
        targets = Targets(photo, style, regions)
        return total_loss(params, image, targets, weights)[0]

    return loss_fn, image, weights, Region(guides, other_style, np.float32(0.3))


def test_total_loss_is_traced_once_for_all_weights(small):
    loss_fn, image, weights, region = small
    traces = []

    @jax.jit
    def counted(image, weights, regions):
        traces.append(1)
        return loss_fn(image, weights, regions)

    losses = [
        float(
            counted(
                image,
                *jax.tree.map(
                    lambda w, f=factor: np.float32(f * w),
                    (weights, (region, region._replace(weight=region.weight / 2))),
                ),
            )
        )
        for factor in (1, 2, 0.5)
    ]
    assert len(traces) == 1
    assert len(set(losses)) == 3


def test_total_loss_vmapped_over_alpha_and_beta_equals_a_loop(small):
    loss_fn, image, weights, _ = small
    alphas, betas = np.float32([0, 1, 5]), np.float32([100, 10, 0])
    axes = Weights(0, 0, None, None, None)
    evaluate = jax.value_and_grad(loss_fn)
    batched = jax.jit(jax.vmap(evaluate, (None, axes)))(
        image, weights._replace(content=alphas, style=betas)
    )
    evaluate = jax.jit(evaluate)
    for index, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):
        looped = evaluate(image, weights._replace(content=alpha, style=beta))
        for found, expected in zip(batched, looped, strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                found[index], expected, rtol=1e-4, atol=1e-5 * scale
            )
