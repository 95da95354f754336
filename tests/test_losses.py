import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.gram_loss import style_loss
from nstjax.losses import (
    Targets,
    Weights,
    content_loss,
    total_loss,
)
from nstjax.presets import PRESETS
from nstjax.problem import loss_structure
from nstjax.statistics import gram_matrix
from nstjax.style_losses import blend_styles
from nstjax.total_variation import total_variation
from nstjax.vgg import features

# Convolutions in float64 take seconds to compile at the default level.
QUICK = {"xla_backend_optimization_level": 0}
# relu5_1 keeps 2×2 or 3×3 positions of it; both sides are odd at several depths.
HEIGHT, WIDTH = 33, 37

CONTENT_FORMS = {
    "half_sum": reference.gatys_content,
    "mean": reference.mean_content,
    "half_mean": reference.matlab_content,
    "quarter_mean": reference.coursera_content,
}
STYLE_FORMS = {
    ("hw", "quarter_mean"): reference.gatys_style,
    ("hw", "mean_per_c2"): reference.gatys_code_style,
    ("chw", "mean"): reference.johnson_style,
    ("none", "quarter_mean_per_hw2"): reference.coursera_style,
    ("none", "mean_per_hwc2"): reference.matlab_style,
}
TV_FORMS = {
    "squared": reference.johnson_tv,
    "mean_squared": reference.athalye_tv,
    "l1": reference.l1_tv,
}
PRECISIONS = [(np.float64, 1e-12), (np.float32, 2e-5)]


def activations(seed=0, shape=(5, 7, 4)):
    return 30 * np.random.default_rng(seed).normal(size=(2, *shape))


def style_term(F, P, gram_normalization, style_normalization):
    return style_loss(
        gram_matrix(F, gram_normalization),
        gram_matrix(P, gram_normalization),
        F.shape[0] * F.shape[1],
        style_normalization,
    )


@functools.cache
def compiled(name):
    """A preset's targets and its loss with gradient, for tests to share."""
    preset = PRESETS[name]
    trunk = {"pool": preset.pool, "pool_padding": preset.pool_padding}

    def make_targets(params, content_image, style_image):
        return Targets(
            features(params, content_image, preset.content_layers, **trunk),
            style_statistics(
                params,
                style_image,
                preset.style_layers,
                **trunk,
                gram_normalization=preset.gram_normalization,
            ),
        )

    def loss_fn(image, params, targets, weights):
        return total_loss(params, image, targets, weights, **loss_structure(preset))

    return (
        jax.jit(make_targets, compiler_options=QUICK),
        jax.jit(jax.value_and_grad(loss_fn, has_aux=True), compiler_options=QUICK),
    )


def problem(name, params, content_image, style_image, dtype=np.float64):
    """A preset's loss with gradient, and what it takes beside the image."""
    preset = PRESETS[name]
    make_targets, evaluate = compiled(name)
    inputs = jax.tree.map(dtype, (params, content_image, style_image))
    weights = Weights(
        preset.alpha,
        preset.beta,
        preset.tv,
        dict(zip(preset.content_layers, preset.content_layer_weights, strict=True)),
        dict(zip(preset.style_layers, preset.style_layer_weights, strict=True)),
    )
    return evaluate, (inputs[0], make_targets(*inputs), jax.tree.map(dtype, weights))


@pytest.fixture(scope="module")
def params():
    return reference.random_params()


@pytest.fixture(scope="module")
def pictures():
    return [reference.random_image(seed, HEIGHT, WIDTH) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def small():
    """A two-block problem in float32: loss function of (image, weights)."""
    params = jax.tree.map(np.float32, reference.random_params(blocks=2))
    image, content, style = (
        np.float32(reference.random_image(seed, 9, 11)) for seed in (1, 2, 3)
    )
    trunk = {"pool": "avg", "pool_padding": "same"}
    targets = Targets(
        features(params, content, ("relu2_1", "relu2_2"), **trunk),
        style_statistics(
            params,
            style,
            ("relu1_1", "relu2_1"),
            **trunk,
            gram_normalization="hw",
        ),
    )
    weights = Weights(
        *np.float32([2.0, 3.0, 0.5]),
        {"relu2_1": np.float32(0.25), "relu2_2": np.float32(0.75)},
        {"relu1_1": np.float32(0.4), "relu2_1": np.float32(0.6)},
    )

    def loss_fn(image, weights):
        return total_loss(params, image, targets, weights, **trunk)

    return loss_fn, image, weights


@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS)
@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_content_loss_equals_the_published_formula(form, dtype, rtol, float64):
    F, P = activations()
    found = content_loss(dtype(F), dtype(P), form)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, CONTENT_FORMS[form](F, P), rtol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS)
@pytest.mark.parametrize("forms", STYLE_FORMS)
def test_style_loss_equals_the_published_formula(forms, dtype, rtol, float64):
    F, P = activations()
    found = style_term(dtype(F), dtype(P), *forms)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, STYLE_FORMS[forms](F, P), rtol=rtol)


@pytest.mark.parametrize("forms", [key for key in STYLE_FORMS if key[0] != "none"])
def test_style_loss_compares_pictures_of_different_sizes(forms, float64):
    (F, _), (P, _) = activations(), activations(1, (8, 3, 4))
    np.testing.assert_allclose(
        style_term(F, P, *forms), STYLE_FORMS[forms](F, P), rtol=1e-12
    )


@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS)
@pytest.mark.parametrize("form", TV_FORMS)
@pytest.mark.parametrize("size", [(7, 10), (2, 2), (10, 3)])
def test_total_variation_equals_the_published_formula(size, form, dtype, rtol, float64):
    image = reference.random_image(0, *size)
    found = total_variation(dtype(image), form)
    assert found.dtype == dtype
    assert found.shape == ()
    np.testing.assert_allclose(found, TV_FORMS[form](image), rtol=rtol)


@pytest.mark.parametrize(
    ("form", "expected"), [("squared", 6.5), ("mean_squared", 13.0), ("l1", 10.0)]
)
def test_total_variation_of_a_hand_computed_image(form, expected):
    # Steps to the right: 3, -2; down: 2, -3. Only the first pixel has both neighbors.
    image = np.float32([[[0], [3]], [[2], [0]]])
    assert float(total_variation(image, form)) == expected


def test_gatys_code_is_johnsons_formula_at_a_thousand_to_one(float64):
    # 1e3 / C² · mean(ΔG_hw²) = 1e3 · mean(ΔG_chw²), for pictures of any two sizes.
    (F, _), (P, _) = activations(), activations(1, (8, 3, 4))
    gatys = 1e3 * style_term(F, P, "hw", "mean_per_c2")
    johnson = 1e3 * style_term(F, P, "chw", "mean")
    np.testing.assert_allclose(gatys, johnson, rtol=1e-12)


def test_athalyes_data_terms_are_johnsons(params, pictures, float64):
    # 500 shared by five layers is 100 for each.
    image, content_image, style_image = pictures
    totals = []
    for name in ("athalye", "johnson2015"):
        evaluate, data = problem(name, params, content_image, style_image)
        no_tv = data[2]._replace(tv=np.float64(0))
        (loss, _), _ = evaluate(image, *data[:2], no_tv)
        totals.append(loss)
    np.testing.assert_allclose(*totals, rtol=1e-12)


def test_equation_4_is_a_quarter_of_the_mean_over_positions(float64):
    # E_l = Σ (ΔS)² / (4 N² M²) = ¼ mean(ΔG_hw²)
    F, P = activations()
    N, M = 4, 35
    equation_4 = np.sum((reference.gram(F) - reference.gram(P)) ** 2) / (
        4 * N**2 * M**2
    )
    for forms in (("hw", "quarter_mean"), ("none", "quarter_mean_per_hw2")):
        np.testing.assert_allclose(style_term(F, P, *forms), equation_4, rtol=1e-12)


@pytest.mark.parametrize("loss", [content_loss, lambda a, b: style_loss(a, b, 4)])
def test_losses_reject_targets_of_another_shape(loss):
    # Without the check, [3, 3] against [1, 3] would be repeated in silence.
    with pytest.raises(ValueError, match="expected"):
        loss(np.ones((3, 3)), np.ones((1, 3)))


def test_programs_of_the_reference_are_the_presets():
    assert set(reference.PROGRAMS) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_total_loss_and_gradient_equal_the_reference(name, params, pictures, float64):
    image, content_image, style_image = pictures
    evaluate, data = problem(name, params, content_image, style_image)
    (loss, terms), gradient = evaluate(image, *data)

    def published(image):
        return reference.total_loss(name, params, image, content_image, style_image)

    expected = published(image)
    assert loss.dtype == jnp.float64
    np.testing.assert_allclose(
        (loss, terms.content, terms.style, terms.tv), expected, rtol=1e-10
    )
    # The gradient, against differences of the reference. ReLUs, maxima and |dx| have
    # kinks, which a random direction crosses in proportion to the step: two steps that
    # agree tell that neither crossed one that matters.
    rng = np.random.default_rng(7)
    for _ in range(3):
        direction = rng.normal(size=image.shape)
        slopes = [
            (
                published(image + step * direction).total
                - published(image - step * direction).total
            )
            / (2 * step)
            for step in (2e-5, 1e-5)
        ]
        scale = np.linalg.norm(gradient)
        np.testing.assert_allclose(*slopes, atol=1e-5 * scale, rtol=0)
        np.testing.assert_allclose(
            np.vdot(gradient, direction), slopes[1], atol=1e-5 * scale, rtol=0
        )


@pytest.mark.parametrize("name", PRESETS)
def test_total_loss_in_float32_is_near_the_reference(name, params, pictures):
    image, content_image, style_image = pictures
    evaluate, data = problem(name, params, content_image, style_image, np.float32)
    (loss, terms), _ = evaluate(np.float32(image), *data)
    expected = reference.total_loss(name, params, image, content_image, style_image)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(
        (loss, terms.content, terms.style, terms.tv), expected, rtol=1e-4
    )


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("level", [0.0, 100.0])
def test_total_loss_has_a_finite_gradient_at_a_constant_image(
    name, level, params, pictures
):
    # Equal pixels are where |dx| has its kink and where every maximum is a tie.
    evaluate, data = problem(name, params, *pictures[1:], np.float32)
    (loss, _), gradient = evaluate(
        np.full((HEIGHT, WIDTH, 3), level, np.float32), *data
    )
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_total_loss_is_zero_where_the_image_meets_its_targets(params, float64):
    image = np.tile(reference.random_image(5, 1, 1), (HEIGHT, WIDTH, 1))
    evaluate, data = problem("gatys2016", params, image, image)
    (loss, terms), _ = evaluate(image, *data)
    assert terms.tv == 0
    assert loss < 1e-15


def test_total_loss_is_the_weighted_sum_of_its_terms(small):
    loss_fn, image, weights = small
    loss, terms = loss_fn(image, weights)
    np.testing.assert_allclose(
        terms.content,
        0.25 * terms.content_layers["relu2_1"] + 0.75 * terms.content_layers["relu2_2"],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        terms.style,
        0.4 * terms.style_layers["relu1_1"] + 0.6 * terms.style_layers["relu2_1"],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        loss, 2 * terms.content + 3 * terms.style + 0.5 * terms.tv, rtol=1e-6
    )


def test_total_loss_terms_do_not_depend_on_alpha_beta_and_tv(small):
    loss_fn, image, weights = small
    loss, terms = loss_fn(image, weights)
    other_loss, other_terms = loss_fn(
        image, weights._replace(content=7.0, style=0.1, tv=9.0)
    )
    assert loss != other_loss
    jax.tree.map(np.testing.assert_array_equal, terms, other_terms)
    *_, layers_terms = loss_fn(
        image, weights._replace(style_layers={"relu1_1": 5.0, "relu2_1": 0.0})
    )
    assert layers_terms.style != terms.style
    jax.tree.map(
        np.testing.assert_array_equal, layers_terms.style_layers, terms.style_layers
    )


def test_total_loss_is_traced_once_for_all_weights(small):
    loss_fn, image, weights = small
    traces = []

    @jax.jit
    def counted(image, weights):
        traces.append(1)
        return loss_fn(image, weights)[0]

    losses = [
        float(
            counted(image, jax.tree.map(lambda w, f=factor: np.float32(f * w), weights))
        )
        for factor in (1, 2, 0.5)
    ]
    assert len(traces) == 1
    assert len(set(losses)) == 3


def test_total_loss_vmapped_over_alpha_and_beta_equals_a_loop(small):
    loss_fn, image, weights = small
    alphas, betas = np.float32([0, 1, 5]), np.float32([100, 10, 0])
    axes = Weights(0, 0, None, None, None)
    evaluate = jax.value_and_grad(lambda image, weights: loss_fn(image, weights)[0])
    batched = jax.jit(jax.vmap(evaluate, (None, axes)), compiler_options=QUICK)(
        image, weights._replace(content=alphas, style=betas)
    )
    evaluate = jax.jit(evaluate, compiler_options=QUICK)
    for index, (alpha, beta) in enumerate(zip(alphas, betas, strict=True)):
        looped = evaluate(image, weights._replace(content=alpha, style=beta))
        for found, expected in zip(batched, looped, strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                found[index], expected, rtol=1e-4, atol=1e-5 * scale
            )


def test_blend_styles_is_the_weighted_mean():
    first, second = {"relu1_1": np.eye(2)}, {"relu1_1": np.ones((2, 2))}
    blended = blend_styles([first, second], [1, 3])
    np.testing.assert_allclose(
        blended["relu1_1"], 0.25 * np.eye(2) + 0.75 * np.ones((2, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(
        blend_styles([first], [5.0])["relu1_1"], np.eye(2), rtol=1e-6
    )


def test_blend_styles_has_the_gradient_of_the_blended_losses(float64):
    # ‖G - Σ bᵢAᵢ‖² = Σ bᵢ‖G - Aᵢ‖² - (Σ bᵢ‖Aᵢ‖² - ‖Σ bᵢAᵢ‖²): Athalye's blend of losses
    # is Johnson's blend of targets, but for a constant.
    b = [0.3, 0.7]
    F, _ = activations()
    paintings = [activations(seed, (6, 4, 4))[0] for seed in (1, 2)]
    targets = [gram_matrix(P, "chw") for P in paintings]
    blended = blend_styles([{"relu1_1": A} for A in targets], b)["relu1_1"]

    def of_targets(F):
        return style_loss(gram_matrix(F, "chw"), blended, 35, "mean")

    def of_losses(F):
        losses = [style_loss(gram_matrix(F, "chw"), A, 35, "mean") for A in targets]
        return b[0] * losses[0] + b[1] * losses[1]

    np.testing.assert_allclose(
        jax.grad(of_targets)(F), jax.grad(of_losses)(F), rtol=1e-9, atol=1e-12
    )
    constant = sum(
        share * np.mean(np.square(A)) for share, A in zip(b, targets, strict=True)
    ) - np.mean(np.square(blended))
    assert constant > 0
    np.testing.assert_allclose(of_losses(F) - of_targets(F), constant, rtol=1e-9)
