import jax
import numpy as np
import pytest
import reference
from style_distances import SAMPLED

from nstjax.losses.terms import Region, Targets, Weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.architecture import LAYERS, layer_channels
from nstjax.network.vgg import features
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.sampling import Samples
from nstjax.statistics.style import style_distance, style_target

TRUNK = {"pool": "avg", "pool_padding": "same"}
STYLE_LAYERS = ("relu1_1", "relu2_1")
ZERO, ONE = np.float64(0), np.float64(1)
WEIGHTS = Weights(ZERO, ONE, ZERO, {}, {"relu1_1": ONE, "relu2_1": 2 * ONE})


@pytest.fixture(scope="module")
def params():
    return reference.random_params(blocks=2)


@pytest.fixture(scope="module")
def pictures():
    return [reference.random_image(seed, 9, 11) for seed in (1, 2, 3)]


def style_targets(params, painting, name, layers):
    if name == "histogram":
        # All positions: to have them drawn takes long to compile.
        F = features(params, painting, layers, **TRUNK)
        samples = {layer: F[layer].reshape(-1, F[layer].shape[2]) for layer in layers}
        return {
            layer: Samples(values, np.full(len(values), 1 / len(values)))
            for layer, values in samples.items()
        }
    descriptions = style_statistics(
        params, painting, layers, **TRUNK, style_loss=name, key=jax.random.key(6)
    )
    return {
        layer: style_target(descriptions[layer], StyleForm(name)) for layer in layers
    }


def whole(style):
    """The whole image as a region."""
    guides = {"relu1_1": np.ones((9, 11)), "relu2_1": np.ones((5, 6))}
    return Region({layer: guides[layer] for layer in style}, style, ONE)


# Without a guide and with one of ones, others are described alike, as seen elsewhere.
def test_region_of_the_whole_image_is_no_region(params, pictures, float64):
    name = "gram"
    image, painting, _ = pictures

    def losses(image, painting):
        style = style_targets(params, painting, name, STYLE_LAYERS)
        return [
            jax.value_and_grad(total_loss, 1, has_aux=True)(
                params, image, targets, WEIGHTS, **TRUNK, style_loss=name
            )
            for targets in (
                Targets({}, style),
                Targets({}, {}, (whole(style),)),
            )
        ]

    plain, regional = jax.jit(losses)(image, painting)
    (loss, _), gradient = plain
    assert loss > 0
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(
            found, expected, rtol=1e-9, atol=1e-9 * np.abs(gradient).max()
        ),
        regional,
        plain,
    )


@pytest.mark.parametrize(
    "name",
    # The sum knows nothing of the loss; those that draw samples take their keys.
    ["gram", "moments", "histogram"],
)
def test_regions_are_the_weighted_sum_of_their_distances(
    name, params, pictures, float64
):
    # The second region lacks a layer; what sorts, and compiles slowly, has one in each.
    form = StyleForm(name)
    first_layers = ("relu2_1",) if name in SAMPLED else STYLE_LAYERS
    key = jax.random.key(5)

    def losses(image, painting, other_painting):
        regions = (
            whole(style_targets(params, painting, name, first_layers)),
            Region(
                {"relu1_1": reference.half_guide(9, 11)},
                style_targets(params, other_painting, name, ("relu1_1",)),
                np.float64(0.7),
            ),
        )
        _, terms = total_loss(
            params,
            image,
            Targets({}, {}, (regions[0]._replace(weight=np.float64(0.3)), regions[1])),
            WEIGHTS,
            **TRUNK,
            style_loss=name,
            key=key,
        )
        activations = features(params, image, STYLE_LAYERS, **TRUNK)
        return terms, [
            {
                layer: style_distance(
                    activations[layer],
                    region.style[layer],
                    form,
                    # Each layer and region has samples of its own.
                    jax.random.fold_in(
                        jax.random.fold_in(key, LAYERS.index(layer)), index
                    ),
                    # A guide of ones is no guide.
                    guide=None if index == 1 else region.guides[layer],
                    channels=layer_channels(layer),
                )
                for layer in region.style
            }
            for index, region in enumerate(regions, start=1)
        ]

    terms, (first, second) = jax.jit(losses)(*pictures)
    expected = {
        "relu1_1": 0.3 * first.get("relu1_1", 0) + 0.7 * second["relu1_1"],
        "relu2_1": 0.3 * first["relu2_1"],
    }
    assert set(terms.style_layers) == set(expected)
    for layer, loss in expected.items():
        assert loss != 0
        np.testing.assert_allclose(terms.style_layers[layer], loss, rtol=1e-11)
    np.testing.assert_allclose(
        terms.style, expected["relu1_1"] + 2 * expected["relu2_1"], rtol=1e-11
    )


def test_whole_image_and_regions_add_up(params, pictures, float64):
    @jax.jit
    def losses(image, *paintings):
        style, other_style = (
            style_targets(params, painting, "gram", ("relu1_1",))
            for painting in paintings
        )
        region = Region(
            {"relu1_1": reference.half_guide(9, 11)}, other_style, np.float64(0.7)
        )
        return [
            total_loss(params, image, targets, WEIGHTS, **TRUNK)[1].style
            for targets in (
                Targets({}, style),
                Targets({}, {}, (region,)),
                Targets({}, style, (region,)),
            )
        ]

    plain, regional, both = losses(*pictures)
    np.testing.assert_allclose(both, plain + regional, rtol=1e-12)


def test_layer_of_no_region_is_no_term(params, pictures, float64):
    @jax.jit
    def terms_of(image, painting):
        style = style_targets(params, painting, "gram", ("relu2_1",))
        targets = Targets({}, {}, (Region({"relu2_1": np.ones((5, 6))}, style, ONE),))
        return total_loss(params, image, targets, WEIGHTS, **TRUNK)[1]

    terms = terms_of(*pictures[:2])
    assert list(terms.style_layers) == ["relu2_1"]
    np.testing.assert_allclose(
        terms.style, 2 * terms.style_layers["relu2_1"], rtol=1e-12
    )
    assert not terms.content_layers


def test_style_statistics_look_where_the_guides_are(params, float64):
    painting = reference.random_image(1, 6, 8)
    guides = {"relu1_1": reference.half_guide(6, 8)}
    layers = ("relu1_1", "conv1_2")
    found = jax.jit(
        lambda painting: style_statistics(params, painting, layers, guides=guides)
    )(painting)
    assert list(found) == ["relu1_1"]
    F = reference.trunk(params, painting, ("relu1_1",), "avg", "valid")["relu1_1"]
    left = F[:, :4].reshape(-1, 4)
    np.testing.assert_allclose(found["relu1_1"], left.T @ left / len(left), rtol=1e-10)
