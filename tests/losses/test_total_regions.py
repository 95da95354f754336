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


PARAMS = reference.random_params(blocks=2)


def style_targets(painting, name, layers):
    if name == "histogram":
        # All positions: to have them drawn takes long to compile.
        F = features(PARAMS, painting, layers, **TRUNK)
        samples = {layer: F[layer].reshape(-1, F[layer].shape[2]) for layer in layers}
        return {
            layer: Samples(values, np.full(len(values), 1 / len(values)))
            for layer, values in samples.items()
        }
    descriptions = style_statistics(
        PARAMS, painting, layers, **TRUNK, style_loss=name, key=jax.random.key(6)
    )
    return {
        layer: style_target(descriptions[layer], StyleForm(name)) for layer in layers
    }


@pytest.mark.parametrize(
    "name",
    # The sum knows nothing of the loss; those that draw samples take their keys.
    ["gram", "moments", "histogram"],
)
def test_the_whole_image_and_regions_are_a_weighted_sum(name, float64):
    # Each lacks a layer of the other; what sorts, and compiles slowly, has one.
    first_layers = ("relu2_1",) if name in SAMPLED else STYLE_LAYERS
    key = jax.random.key(5)

    def losses(image, *paintings):
        styles = [
            style_targets(painting, name, layers)
            for painting, layers in zip(
                paintings, (first_layers, ("relu1_1",)), strict=True
            )
        ]
        guides = {"relu1_1": reference.half_guide(9, 11)}
        part = Region(guides, styles[1], np.float64(0.7))
        targets = Targets({}, styles[0], (part,))
        loss_form = {**TRUNK, "style_loss": name, "key": key}
        _, terms = total_loss(PARAMS, image, targets, WEIGHTS, **loss_form)
        activations = features(PARAMS, image, STYLE_LAYERS, **TRUNK)

        def distance(index, layer):
            # Each layer and region has samples of its own.
            layer_key = jax.random.fold_in(key, LAYERS.index(layer))
            return style_distance(
                *(activations[layer], styles[index][layer], StyleForm(name)),
                jax.random.fold_in(layer_key, index),
                guide=guides[layer] if index else None,
                channels=layer_channels(layer),
            )

        return terms, [
            {layer: distance(index, layer) for layer in style}
            for index, style in enumerate(styles)
        ]

    pictures = [reference.random_image(seed, 9, 11) for seed in (1, 2, 3)]
    terms, (whole, part) = jax.jit(losses)(*pictures)
    expected = {
        "relu1_1": whole.get("relu1_1", 0) + 0.7 * part["relu1_1"],
        "relu2_1": whole["relu2_1"],
    }
    assert set(terms.style_layers) == set(expected)
    for layer, loss in expected.items():
        assert loss != 0
        np.testing.assert_allclose(terms.style_layers[layer], loss, rtol=1e-11)
    np.testing.assert_allclose(
        terms.style, expected["relu1_1"] + 2 * expected["relu2_1"], rtol=1e-11
    )
    assert not terms.content_layers


def test_style_statistics_look_where_the_guides_are(float64):
    painting = reference.random_image(1, 6, 8)
    guides = {"relu1_1": reference.half_guide(6, 8)}
    layers = ("relu1_1", "conv1_2")
    found = jax.jit(
        lambda painting: style_statistics(PARAMS, painting, layers, guides=guides)
    )(painting)
    assert list(found) == ["relu1_1"]
    F = reference.trunk(PARAMS, painting, ("relu1_1",), "avg", "valid")["relu1_1"]
    left = F[:, :4].reshape(-1, 4)
    np.testing.assert_allclose(found["relu1_1"], left.T @ left / len(left), rtol=1e-10)
