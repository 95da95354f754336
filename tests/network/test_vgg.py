import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.errors import InputError
from nstjax.network import vgg
from nstjax.network.architecture import LAYERS, check_size, kernel_shapes, summarize
from nstjax.network.vgg import MEAN_RGB, deprocess, preprocess

# As one program: each of its operations would compile by itself.
features = jax.jit(
    vgg.features,
    static_argnames=("layers", "pool", "pool_padding", "image_padding", "precision"),
)
PARAMS = reference.random_params()
SINGLE = jax.tree.map(np.float32, PARAMS)
PROBED = tuple(
    ["conv1_1", "relu1_2", "pool1", "conv2_2", "pool2", "relu3_4", "pool3", "conv4_2"]
)
POOLINGS = [(pool, padding) for pool in ("avg", "max") for padding in ("valid", "same")]


@pytest.mark.parametrize(
    ("size", "pool", "padding"),
    [
        (size, *how)
        for size, how in zip(2 * [(19, 29), (24, 17)], POOLINGS, strict=True)
    ],
)
def test_features_equal_the_reference_in_float64(size, pool, padding, float64):
    image = reference.random_image(1, *size)
    layers = (*PROBED, "relu5_1") if padding == "same" else PROBED
    found = features(PARAMS, image, layers, pool=pool, pool_padding=padding)
    expected = reference.trunk(PARAMS, image, layers, pool, padding)
    assert set(found) == set(layers)
    for name in layers:
        assert found[name].dtype == jnp.float64
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-9)


def test_replicate_pads_the_image_and_nothing_deeper(float64):
    image = reference.random_image(1, 19, 29)
    layers = ("conv1_1", "conv1_2", "conv2_2", "conv3_1")
    found, zero = (
        features(PARAMS, image, layers, pool="max", image_padding=padding)
        for padding in ("replicate", "zero")
    )
    expected = reference.trunk(PARAMS, image, layers, "max", "valid", "edge")
    for name in layers:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-9)
        assert np.abs(found[name] - zero[name]).max() > 1
    # Away from the border nothing changes.
    np.testing.assert_allclose(
        found["conv1_1"][1:-1, 1:-1], zero["conv1_1"][1:-1, 1:-1], rtol=1e-12
    )


def test_features_of_a_float32_image_stay_float32_and_near_the_reference():
    image = reference.random_image(1, 33, 37)
    found = features(SINGLE, np.float32(image), ("relu4_2",), pool="max")["relu4_2"]
    expected = reference.trunk(PARAMS, image, ("relu4_2",), "max", "valid")["relu4_2"]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("layers", "convolutions"),
    [(("conv1_1",), 1), (("pool2",), 4), (("conv3_1", "relu1_1"), 5), (("pool5",), 16)],
)
def test_features_compute_nothing_past_the_deepest_layer(layers, convolutions):
    image = np.zeros((32, 32, 3), np.float32)
    order = list(PARAMS)
    shallow = {name: PARAMS[name] for name in order[:convolutions]}
    orders = []

    def found(params):
        activations = vgg.features(params, image, layers)
        orders.append(list(activations))
        return activations

    jaxpr = jax.make_jaxpr(found)(shallow)
    # Forward, whatever the order of the names.
    assert orders == [sorted(layers, key=LAYERS.index)]
    primitives = [equation.primitive.name for equation in jaxpr.jaxpr.eqns]
    assert primitives.count("conv_general_dilated") == convolutions


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        (("conv4_2", "relu1_3"), (32, 32, 3), "unknown layer 'relu1_3'"),
        (("conv1_1", "conv1_1"), (32, 32, 3), "different names"),
        ((), (32, 32, 3), "one or more"),
        (("conv1_1",), (32, 32), "image must have shape"),
        (("conv1_1",), (3, 32, 32), "image must have shape"),
        (("relu5_1", "conv1_1"), (15, 40, 3), "40x15 pixels is too small for relu5_1"),
    ],
)
def test_features_reject_layers_and_images(layers, shape, message):
    with pytest.raises(InputError, match=message):
        features(PARAMS, np.zeros(shape, np.float32), layers)


@pytest.mark.parametrize(
    ("layer", "smallest"), [("conv1_1", 1), ("pool1", 2), ("conv3_1", 4), ("pool5", 32)]
)
def test_check_size_accepts_exactly_what_leaves_a_position(layer, smallest):
    check_size(smallest, 100, layer)
    check_size(100, smallest, layer)
    with pytest.raises(InputError, match=f"at least {smallest} pixels"):
        check_size(smallest - 1, 100, layer)
    with pytest.raises(InputError, match="too small"):
        check_size(100, smallest - 1, layer)
    check_size(1, 1, layer, "same")


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_summarize_shapes_are_those_of_features(padding):
    params = {
        name: {
            "kernel": jax.ShapeDtypeStruct(shape, jnp.float32),
            "bias": jax.ShapeDtypeStruct(shape[-1:], jnp.float32),
        }
        for name, shape in kernel_shapes().items()
    }
    found = jax.eval_shape(
        lambda params, image: features(
            params, image, LAYERS, pool="avg", pool_padding=padding
        ),
        params,
        jax.ShapeDtypeStruct((300, 400, 3), jnp.float32),
    )
    rows = {row.name: row.shape for row in summarize(300, 400, pool_padding=padding)}
    assert rows == {name: activation.shape for name, activation in found.items()}
    # As in the Coursera assignment.
    assert rows["conv3_1"] == (75, 100, 256)
    assert rows["pool5"] == ((10, 13, 512) if padding == "same" else (9, 12, 512))


def test_summarize_counts_the_published_parameters():
    rows = summarize(224, 224)
    assert [row.name for row in rows] == list(LAYERS)
    assert sum(row.parameters for row in rows) == 20_024_384
    assert next(row for row in rows if row.name == "conv1_1").parameters == 1792
    assert all(not row.parameters for row in rows if not row.name.startswith("conv"))
    # Of a narrower network.
    shapes = {name: layer["kernel"].shape for name, layer in PARAMS.items()}
    rows = {row.name: row for row in summarize(32, 32, kernels=shapes)}
    assert rows["relu5_1"].shape == (2, 2, 8)
    assert rows["conv2_1"].parameters == 9 * 4 * 5 + 5


def test_summarize_receptive_fields_are_the_pixels_a_position_depends_on(float64):
    # One channel and positive kernels let no contribution cancel. One row of pixels is
    # enough, for windows are square; "same" pooling keeps it one row.
    width = 512
    kernels = {name: np.full((3, 3, 1, 1), 1 / 3) for name in kernel_shapes()}
    kernels["conv1_1"] = np.full((3, 3, 3, 1), 1 / 9)
    params = {
        name: {"kernel": kernel, "bias": np.zeros(1)}
        for name, kernel in kernels.items()
    }

    rows = {row.name: row for row in summarize(1, width, pool_padding="same")}
    probed = tuple(layer for layer in LAYERS if not layer.startswith("relu"))

    def middles(image):
        found = features(params, image, probed, pool="avg", pool_padding="same")
        return {name: value[0, value.shape[1] // 2, 0] for name, value in found.items()}

    # All is linear where nothing is below 0: each pixel by itself tells its share.
    pixels = np.broadcast_to(np.eye(width)[:, None, :, None], (width, 1, width, 3))
    found = jax.jit(jax.vmap(middles))(pixels)
    for layer in probed:
        seen = np.flatnonzero(found[layer])
        assert len(seen) == seen[-1] - seen[0] + 1 == rows[layer].receptive_field
    for layer in set(LAYERS) - set(probed):
        of_convolution = rows[layer.replace("relu", "conv")].receptive_field
        assert rows[layer].receptive_field == of_convolution


def test_preprocess_is_255_times_the_image_minus_the_rgb_mean():
    picture = np.zeros((1, 3, 3), np.float32)
    picture[0, 1] = 1
    picture[0, 2] = (1, 0, 0.5)
    found = preprocess(picture)
    mean = np.array([123.68, 116.779, 103.939])
    expected = [-mean, 255 - mean, np.array([255, 0, 127.5]) - mean]
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    np.testing.assert_allclose(MEAN_RGB, mean, rtol=1e-7)


def test_deprocess_undoes_preprocess_and_clips():
    picture = np.random.default_rng(0).random((7, 9, 3), dtype=np.float32)
    np.testing.assert_allclose(deprocess(preprocess(picture)), picture, atol=1e-6)
    np.testing.assert_array_equal(deprocess(np.full((1, 1, 3), 1e4, np.float32)), 1)
    np.testing.assert_array_equal(deprocess(np.full((1, 1, 3), -1e4, np.float32)), 0)
