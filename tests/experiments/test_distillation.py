"""Training a narrow network: its parts against closed forms."""

import itertools

import jax
import numpy as np
import optax
import pytest
import reference

import nstjax
from experiments.distillation import (
    batches,
    calibration,
    channel_selection,
    kernel_matching,
    on_policy,
    pictures,
    teacher_features,
    training,
)
from nstjax.network.architecture import CONV_LAYERS, layer_channels
from nstjax.network.layer_scales import scale_layers
from nstjax.network.random_weights import VGG19_SCALES, random_params

POOLS = [batches.pool_of(index) for index in range(2)]
kernel_mismatch = jax.jit(kernel_matching.kernel_mismatch)
matching_loss = jax.jit(kernel_matching.matching_loss)


@pytest.fixture(scope="module")
def maker():
    """What makes batches, with pictures and a narrow teacher."""
    rng = np.random.default_rng(0)
    sources = batches.Sources(
        photos=[rng.random((60, 80, 3), np.float32) for _ in range(3)],
        paintings=[rng.random((50, 40, 3), np.float32) for _ in range(2)],
    )
    params = reference.random_params(seed=3, channels=(4, 6, 8, 10, 12))
    teacher = teacher_features.scaled_teacher(
        jax.tree.map(np.float32, params),
        np.stack([photo[:32, :32] for photo in sources.photos]),
        np.random.default_rng(1),
    )
    return batches.Batches(sources, teacher, size=32, batch_size=4, steps=2)


@pytest.fixture(scope="module")
def teacher(maker):
    return maker.teacher.params


@pytest.fixture(scope="module")
def shown(maker):
    """Batches, whose poolings take turns."""
    return [
        maker.make(np.random.default_rng(index), pool)
        for index, pool in enumerate(POOLS)
    ]


def test_mismatch_is_the_relative_squared_error_of_the_kernels(float64):
    rng = np.random.default_rng(0)
    F, T = rng.normal(1, 1, (7, 3)), rng.normal(2, 1, (7, 5))
    H = np.eye(7) - 1 / 7
    K, L = F @ F.T, T @ T.T
    kernel = np.linalg.norm(K - L) ** 2 / np.linalg.norm(L) ** 2
    centered = np.linalg.norm(H @ (K - L) @ H) ** 2 / np.linalg.norm(H @ L @ H) ** 2
    np.testing.assert_allclose(kernel_mismatch(F, T), (kernel, centered), rtol=1e-12)


def test_equal_kernels_mean_equal_style_and_content_losses(float64):
    # What the docstring says, through the package's own losses.
    rng = np.random.default_rng(2)
    T = rng.normal(size=(2, 3, 4, 5))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0][:5]
    F = T @ rotation
    rows = (F.reshape(-1, 8), T.reshape(-1, 5))
    np.testing.assert_allclose(kernel_mismatch(*rows), 0, atol=1e-28)

    @jax.jit
    def losses(pair):
        grams = [nstjax.gram_matrix(each, "chw", 16) for each in pair]
        return [
            *(
                nstjax.style_loss(*grams, 12, normalization, 16)
                for normalization in ("mean", "quarter_mean", "mean_per_c2")
            ),
            *(
                nstjax.content_loss(*pair, normalization, 16)
                for normalization in ("half_sum", "mean", "quarter_mean")
            ),
        ]

    np.testing.assert_allclose(losses(T), losses(F), rtol=1e-10)


def test_layers_that_presets_read_weigh_more(float64):
    rng = np.random.default_rng(4)
    F, T = rng.normal(size=(6, 2)), rng.normal(size=(6, 5))
    read, passed = (
        matching_loss({layer: F}, {layer: T})[0] for layer in ("conv3_1", "conv3_2")
    )
    np.testing.assert_allclose(read, 4 * passed, rtol=1e-12)
    for preset in nstjax.PRESETS.values():
        for layer in (*preset.content_layers, *preset.style_layers):
            assert layer.replace("relu", "conv") in kernel_matching.PRESET_LAYERS


def test_batches_have_the_teachers_features_at_the_positions(maker, shown):
    params, scales = maker.teacher
    for batch, pool in zip(shown, POOLS, strict=True):
        activations = reference.trunk(
            jax.tree.map(np.float64, params),
            255 * np.float64(batch.pictures[1]) - reference.MEAN_RGB,
            CONV_LAYERS,
            pool,
            "valid",
        )
        for layer in CONV_LAYERS:
            rows = activations[layer].reshape(-1, activations[layer].shape[-1])
            expected = rows[batch.positions[1, int(layer[4]) - 1]] / scales[layer]
            np.testing.assert_allclose(
                batch.teacher[layer][1], expected, rtol=2e-3, atol=2e-3
            )


def test_positions_lie_in_every_block():
    rng = np.random.default_rng(0)
    positions = teacher_features.sample_positions(rng, (3, 48, 32, 3), 500)
    assert positions.shape == (3, 5, 500)
    for block in range(5):
        assert positions[:, block].min() == 0
        assert positions[:, block].max() == (48 >> block) * (32 >> block) - 1


def test_vgg_units_are_the_same_function_scaled(maker):
    params, scales = maker.teacher
    image = reference.random_image(0, 32, 32).astype(np.float32)
    layers = ("conv1_1", "relu3_2", "pool4", "relu5_4")
    features = jax.jit(lambda params: nstjax.features(params, image, layers))
    found = features(teacher_features.in_vgg_units(params, scales))
    for layer, activation in features(params).items():
        convolution = {"pool4": "conv4_4"}.get(layer, layer.replace("relu", "conv"))
        channels = activation.shape[-1]
        factor = scales[convolution] * (layer_channels(layer) / channels) ** 0.5
        expected = np.float64(activation) * factor
        np.testing.assert_allclose(
            found[layer], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )


def test_random_pictures_follow_the_seed_and_differ(maker):
    def draw(seed, count=40):
        rng = np.random.default_rng(seed)
        return np.stack(
            [pictures.random_picture(rng, *maker.sources, 24) for _ in range(count)]
        )

    drawn = draw(0)
    assert drawn.shape == (40, 24, 24, 3)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, draw(0))
    assert len({picture.tobytes() for picture in drawn}) == 40
    assert (drawn.min() < 0) and (drawn.max() > 1)  # noise is not cut


def test_crop_of_a_small_picture_is_enlarged():
    small = np.random.default_rng(0).random((10, 7, 3), np.float32)
    crop = pictures.random_crop(np.random.default_rng(1), small, 32)
    assert crop.shape == (32, 32, 3)
    assert 0 <= crop.min() < crop.max() <= 1


def test_both_poolings_get_as_many_on_policy_batches():
    assert not any(batches.is_on_policy(0, batch) for batch in range(8))
    later = [(batches.is_on_policy(2, b), batches.pool_of(b)) for b in range(8)]
    for kind in itertools.product((False, True), batches.POOLS):
        assert later.count(kind) == 2


def test_steps_train_on_batches_that_exist():
    drawn = [
        batches.batch_of_step(np.random.default_rng(step), 3, 5) for step in range(400)
    ]
    assert {batch for _, batch in drawn} == set(range(5))
    assert {round_ for round_, _ in drawn} == set(range(4))
    newest = sum(round_ == 3 for round_, _ in drawn) / 400
    assert 0.5 < newest < 0.75  # one half, and a quarter of the other


def test_on_policy_samples_lead_to_the_style_and_repeat(maker, teacher):
    contents, styles = (
        np.stack([pictures.random_crop(np.random.default_rng(seed), images[0], 32)] * 2)
        for seed, images in enumerate(maker.sources)
    )

    def samples(steps):
        rng = np.random.default_rng(5)
        return on_policy.on_policy_samples(teacher, rng, contents, styles, "max", steps)

    # The shortest way leaves the photo, too.
    assert np.abs(samples(1) - contents).max((1, 2, 3)).min() > 1 / 255
    ends = samples(12)
    np.testing.assert_array_equal(ends, samples(12))
    layers = on_policy.PRESET.style_layers

    @jax.jit
    def loss(image, painting):
        own, wanted = (
            nstjax.style_statistics(teacher, nstjax.preprocess(each), layers)
            for each in (image, painting)
        )
        return sum(nstjax.style_loss(own[layer], wanted[layer], 1) for layer in layers)

    for start, end, painting in zip(contents, ends, styles, strict=True):
        assert loss(end, painting) < 0.5 * loss(start, painting)


def test_on_policy_batch_ends_with_the_paintings_that_led_to_it(maker, teacher):
    batch = maker.make(np.random.default_rng(0), "max", teacher)
    assert batch.pictures.shape == (4, 32, 32, 3)
    assert 0 <= batch.pictures[2:].min() < batch.pictures[2:].max() <= 1


def test_selection_takes_channels_that_span_the_rest():
    rng = np.random.default_rng(0)
    independent = rng.random((200, 3))
    doubled = np.concatenate([independent, 0.5 * independent, 0 * independent], axis=1)
    assert channel_selection.select_channels(doubled, 3).tolist() == [0, 1, 2]


def test_selection_lowers_what_is_left_most(float64):
    F = np.random.default_rng(1).normal(size=(50, 6))

    def left(channels):
        basis = F[:, channels]
        solution, *_ = np.linalg.lstsq(basis, F, rcond=None)
        return np.square(F - basis @ solution).sum()

    first = min(range(6), key=lambda channel: left([channel]))
    second = min(set(range(6)) - {first}, key=lambda channel: left([first, channel]))
    chosen = channel_selection.select_channels(F, 2).tolist()
    assert chosen == sorted([first, second])


def test_selection_of_too_many_is_refused():
    with pytest.raises(ValueError, match="cannot choose 4 of 3"):
        channel_selection.select_channels(np.ones((5, 3)), 4)


@pytest.fixture
def shallow(monkeypatch):
    """The first four layers alone, for time."""
    for module in (channel_selection, teacher_features):
        monkeypatch.setattr(module, "CONV_LAYERS", CONV_LAYERS[:4])


def test_imitation_with_every_channel_is_the_teacher_and_with_half_near(
    teacher, shown, shallow
):
    widths = {layer: teacher[layer]["bias"].size for layer in CONV_LAYERS[:4]}
    widths["conv2_2"] //= 2
    params = channel_selection.imitate(widths, shown, POOLS)
    assert {layer: part["bias"].size for layer, part in params.items()} == widths
    loss = jax.jit(training.batch_loss, static_argnums=2)
    _, mismatches = loss(params, shown[0], "avg")
    for layer in ("relu1_1", "relu1_2", "relu2_1"):
        assert mismatches[layer].kernel < 0.02, layer
        assert mismatches[layer].centered < 0.1, layer
    assert mismatches["relu2_2"].kernel < 0.5


def test_training_lowers_the_loss_and_compiles_once(teacher, shown, shallow):
    widths = {layer: part["bias"].size // 2 for layer, part in teacher.items()}
    factors = {layer: 1 / scale for layer, scale in VGG19_SCALES.items()}
    params = jax.tree.map(np.asarray, random_params(0, widths))
    updates = training.training(1e-2, 12)
    state = updates.init(jax.device_put(scale_layers(params, factors)))
    losses = []
    for _ in range(12):
        state, loss, _ = updates.step(state, shown[0], "avg")
        losses.append(float(loss))
    assert losses[-1] < 0.85 * losses[0]
    assert int(state.step) == 12
    assert updates.step._cache_size() == 1
    assert optax.tree.get(state.opt_state, "mu").keys() == widths.keys()


def test_calibration_finds_the_factors_that_were_lost(teacher):
    rng = np.random.default_rng(0)
    factors = {layer: float(rng.uniform(0.3, 3)) for layer in CONV_LAYERS}
    timid = scale_layers(teacher, factors)
    pictures = rng.random((3, 2, 32, 32, 3), np.float32)
    found = calibration.calibrate(timid, teacher, *pictures)
    for layer in CONV_LAYERS:
        for part in ("kernel", "bias"):
            expected = np.asarray(teacher[layer][part])
            np.testing.assert_allclose(
                found[layer][part], expected, rtol=2e-3, atol=1e-4, err_msg=layer
            )
