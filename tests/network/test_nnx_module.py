"""The Flax module computes what the pure functions do."""

import jax
import numpy as np
import pytest
import reference
from flax import nnx

from nstjax.network.architecture import CONV_LAYERS, LAYERS
from nstjax.network.nnx_module import VGG19
from nstjax.network.vgg import features

PROBED = ("conv1_1", "relu2_2", "pool3", "conv4_2", "relu5_4", "pool5")


@nnx.jit(static_argnames="layers")
def computed(module, image, layers):
    return module(image, layers)


pure = jax.jit(features, static_argnames=("layers", "pool", "pool_padding"))


PARAMS = jax.tree.map(jax.numpy.float32, reference.random_params())
IMAGE = reference.random_image(3, 37, 41).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"pool": "max", "pool_padding": "same"}])
def test_module_equals_features_exactly(options):
    found = computed(VGG19(PARAMS, **options), IMAGE, PROBED)
    expected = pure(PARAMS, IMAGE, PROBED, **options)
    assert set(found) == set(expected) == set(PROBED)
    for name in PROBED:
        np.testing.assert_array_equal(found[name], expected[name])


def test_its_layers_one_by_one_give_the_features():
    # nnx.Conv pads, orders axes and adds its bias as the pure function does.
    module = VGG19(PARAMS, pool="max")
    layers = LAYERS[: LAYERS.index("pool2") + 1]
    expected = pure(PARAMS, IMAGE, layers, pool="max")

    @nnx.jit
    def one_by_one(module, activation):
        found = {}
        for name in layers:
            if name.startswith("conv"):
                layer = getattr(module, name)
                assert isinstance(layer, nnx.Conv)
                activation = layer(activation)
            elif name.startswith("relu"):
                activation = nnx.relu(activation)
            else:
                activation = nnx.max_pool(activation, (2, 2), (2, 2))
            found[name] = activation[0]
        return found

    found = one_by_one(module, IMAGE[None])
    assert set(found) == set(layers)
    for name, activation in found.items():
        assert activation.shape == expected[name].shape
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(
            activation, expected[name], rtol=0, atol=1e-6 * scale
        )


def test_params_follow_a_change_of_the_module():
    module = VGG19(PARAMS)
    module.conv2_1.bias[...] = module.conv2_1.bias[...] + 1.0
    found = module.params()
    assert tuple(found) == CONV_LAYERS
    before, after = (
        pure(some, IMAGE, ("conv2_1",))["conv2_1"] for some in (PARAMS, found)
    )
    np.testing.assert_allclose(after, before + 1, rtol=1e-5, atol=1e-4)
