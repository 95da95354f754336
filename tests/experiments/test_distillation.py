"""Training a narrow network: its parts against closed forms."""

import functools
import itertools

import jax
import numpy as np
import optax
import pytest
import reference
from slim_networks import unit_network

import nstjax
from experiments.distillation import (
    batches,
    channel_selection,
    kernel_matching,
    on_policy,
    teacher_features,
)
from nstjax.network.architecture import CONV_LAYERS, layer_channels
from nstjax.network.layer_scales import scale_layers

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
    return [maker.make(np.random.default_rng(0), pool) for pool in POOLS]


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
        styles = ("mean", "quarter_mean", "mean_per_c2")
        contents = ("half_sum", "mean", "quarter_mean")
        return [
            *(nstjax.style_loss(*grams, 12, name, 16) for name in styles),
            *(nstjax.content_loss(*pair, name, 16) for name in contents),
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
    params = jax.tree.map(np.float64, params)
    for batch, pool in zip(shown, POOLS, strict=True):
        image = 255 * np.float64(batch.pictures[1]) - reference.MEAN_RGB
        activations = reference.trunk(params, image, CONV_LAYERS, pool, "valid")
        for layer, found in batch.teacher.items():
            rows = activations[layer].reshape(-1, found.shape[-1])
            expected = rows[batch.positions[1, int(layer[4]) - 1]] / scales[layer]
            np.testing.assert_allclose(found[1], expected, rtol=2e-3, atol=2e-3)


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
        wider = layer_channels(layer) / activation.shape[-1]
        expected = np.asarray(activation) * scales[convolution] * wider**0.5
        close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(expected).max()}
        np.testing.assert_allclose(found[layer], expected, **close)


def test_random_pictures_follow_the_seed_and_differ(maker):
    def draw():
        rng = np.random.default_rng(0)
        return [batches.random_picture(rng, maker.sources, 24) for _ in range(40)]

    drawn = np.stack(draw())
    assert (drawn.shape, drawn.dtype) == ((40, 24, 24, 3), np.float32)
    np.testing.assert_array_equal(drawn, draw())
    assert len({picture.tobytes() for picture in drawn}) == 40
    assert (drawn.min() < 0) and (drawn.max() > 1)  # noise is not cut
    # A crop of a small picture is enlarged.
    crop = batches.random_crop(np.random.default_rng(1), drawn[0, :10, :7], 32)
    assert crop.shape == (32, 32, 3)


def test_steps_train_on_batches_that_exist():
    assert not any(batches.is_on_policy(0, batch) for batch in range(8))
    later = [(batches.is_on_policy(2, b), batches.pool_of(b)) for b in range(8)]
    for kind in itertools.product((False, True), batches.POOLS):
        assert later.count(kind) == 2
    rng = np.random.default_rng(0)
    drawn = [batches.batch_of_step(rng, 3, 5) for _ in range(400)]
    assert set(drawn) == set(itertools.product(range(4), range(5)))
    newest = sum(round_ == 3 for round_, _ in drawn)
    assert 200 < newest < 300  # one half, and a quarter of the other


def test_on_policy_samples_lead_to_the_style_and_repeat(maker, teacher):
    contents, styles = (
        np.stack([batches.random_crop(np.random.default_rng(seed), images[0], 32)] * 2)
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
        pair = nstjax.preprocess(image), nstjax.preprocess(painting)
        own, wanted = (nstjax.style_statistics(teacher, x, layers) for x in pair)
        return sum(nstjax.style_loss(own[layer], wanted[layer], 1) for layer in layers)

    for start, end, painting in zip(contents, ends, styles, strict=True):
        assert loss(end, painting) < 0.5 * loss(start, painting)

    # A batch of them ends with the paintings that led there.
    batch = maker.make(np.random.default_rng(0), "max", teacher)
    assert batch.pictures.shape == (4, 32, 32, 3)
    assert 0 <= batch.pictures[2:].min() < batch.pictures[2:].max() <= 1


def test_selection_takes_channels_that_span_the_rest_and_lower_it_most():
    independent = np.random.default_rng(0).random((200, 3))
    doubled = np.concatenate([independent, 0.5 * independent, 0 * independent], axis=1)
    assert channel_selection.select_channels(doubled, 3).tolist() == [0, 1, 2]
    F = np.random.default_rng(1).normal(size=(50, 6))

    def left(*channels):
        return np.linalg.lstsq(F[:, channels], F, rcond=None)[1].sum()

    first = min(range(6), key=left)
    second = min(set(range(6)) - {first}, key=lambda channel: left(first, channel))
    chosen = channel_selection.select_channels(F, 2)
    assert chosen.tolist() == sorted([first, second])


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
    loss = jax.jit(kernel_matching.batch_loss, static_argnums=2)
    _, mismatches = loss(params, shown[0], "avg")
    last = mismatches.pop("relu2_2")
    assert all(each.kernel < 0.02 for each in mismatches.values())
    assert all(each.centered < 0.1 for each in mismatches.values())
    assert last.kernel < 0.5


def test_training_lowers_the_loss_and_compiles_once(teacher, shown, shallow):
    widths = {layer: part["bias"].size // 2 for layer, part in teacher.items()}
    updates = kernel_matching.training(1e-2, 12)
    state = updates.init(unit_network(widths))
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
    found = teacher_features.calibrate(timid, teacher, *pictures)
    close = functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=1e-4)
    jax.tree.map(close, found, teacher)
