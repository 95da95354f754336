import jax
import numpy as np
import pytest
import reference
from surfaces import empty_surface

from nstjax.analysis.surfaces import surface as surface_module
from nstjax.analysis.surfaces.geometry import point
from nstjax.analysis.surfaces.planes import plane_through
from nstjax.analysis.surfaces.surface import (
    default_batch,
    fill,
    image_losses,
    make_evaluator,
    unknown_values,
)
from nstjax.images.resizing import Size
from nstjax.losses.objective import loss_function
from nstjax.losses.terms import LossTerms
from nstjax.losses.total import total_loss
from nstjax.presets.published import get_preset
from nstjax.presets.settings import customize, loss_structure
from nstjax.problem.problem import prepare

LAYERS = ("relu5_1", "conv1_1")


def random_plane(height=6, width=8):
    images = (reference.random_image(seed, height, width) for seed in range(3))
    return plane_through(*map(np.float32, images))


@pytest.fixture
def plane():
    return random_plane()


@pytest.fixture
def grid(plane):
    """4 nodes along s and 3 along t."""
    s, t = np.linspace(-1, 0.5, 4), np.array([0.0, 0.25, 1.0])
    return empty_surface(plane, s, t, LAYERS)


def coordinates_loss(image, step, origin, u, v, unit_length):
    """content = s + 10 t, style = s², tv = t², and s and t as the two layers."""
    s = ((image - origin) * u).sum() / unit_length
    t = ((image - origin) * v).sum() / unit_length
    layers = {"relu5_1": s, "conv1_1": t}
    return s, LossTerms(s + 10 * t, s**2, t**2, {}, layers)


def data_of(plane):
    return plane.origin, plane.u, plane.v, plane.unit_length


@pytest.fixture(scope="module")
def evaluator():
    return make_evaluator(coordinates_loss)


def filled(surface, evaluator, data, batch):
    """The surface after the last batch, and how many batches it took."""
    count = 0
    for surface in fill(surface, evaluator, data, batch):
        count += 1
    return surface, count


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_every_node_has_the_value_of_its_coordinates(plane, grid, evaluator, batch):
    surface, count = filled(grid, evaluator, data_of(plane), batch)
    assert count == -(-12 // batch)
    assert surface.done.all()
    s, t = np.meshgrid(grid.s, grid.t, indexing="ij")
    values = surface.values
    for found, expected in (
        (values.content, s + 10 * t),
        (values.style, s**2),
        (values.tv, t**2),
        (values.style_layers["relu5_1"], s),
        (values.style_layers["conv1_1"], t),
    ):
        assert found.shape == (4, 3)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert list(values.style_layers) == list(LAYERS)
    # What it began with is as it was.
    assert np.isnan(grid.values.content).all()
    assert not grid.done.any()


def test_share_of_values_out_of_gamut(plane, grid, evaluator):
    surface, _ = filled(grid, evaluator, data_of(plane), 12)
    for i, s in enumerate(grid.s):
        for j, t in enumerate(grid.t):
            shown = point(plane, s, t) + reference.MEAN_RGB
            share = np.mean((shown < 0) | (shown > 255))
            assert surface.values.out_of_gamut[i, j] == pytest.approx(share, abs=1e-6)
    assert 0.1 < surface.values.out_of_gamut[0, 2] < 0.9
    # Black and white are in gamut.
    extremes = np.indices((6, 8, 3)).sum(0) % 2 * 255 - reference.MEAN_RGB
    moved = plane._replace(origin=np.float32(extremes))
    alone = empty_surface(moved, np.zeros(1), np.zeros(1), LAYERS)
    surface, _ = filled(alone, evaluator, data_of(moved), 1)
    assert surface.values.out_of_gamut[0, 0] == 0


def test_what_is_done_stays_and_the_rest_gets_the_same_bits(plane, grid, evaluator):
    data = data_of(plane)
    whole, _ = filled(grid, evaluator, data, 5)
    done = np.zeros((4, 3), bool)
    done[1, 2] = done[3, 0] = True
    values = jax.tree.map(lambda x: np.where(done, 77.0, np.nan), grid.values)
    surface, _ = filled(grid._replace(done=done, values=values), evaluator, data, 4)
    assert (surface.values.content == 77).tolist() == done.tolist()
    for blocks in (1, 2):
        half = grid
        for _, half in zip(range(blocks), fill(grid, evaluator, data, 5), strict=False):
            pass
        known = 5 * blocks
        # In the order of memory, and not one node more: the padding is not written.
        assert half.done.ravel().tolist() == [True] * known + [False] * (12 - known)
        for values in jax.tree.leaves(half.values):
            np.testing.assert_array_equal(np.isnan(values), ~half.done)
        resumed, count = filled(half, evaluator, data, 5)
        assert count == 3 - blocks
        assert not [*fill(resumed, evaluator, data, 5)]
        for found, expected in zip(
            jax.tree.leaves(resumed.values), jax.tree.leaves(whole.values), strict=True
        ):
            assert found.tobytes() == expected.tobytes()


def test_every_node_draws_the_samples_of_step_0(grid):
    def sampled_loss(image, step, key):
        sample = jax.random.normal(jax.random.fold_in(key, step))
        return sample, LossTerms(sample, sample, sample, {}, {"relu5_1": sample})

    key = jax.random.key(5)
    grid = grid._replace(values=unknown_values((4, 3), ["relu5_1"]))
    surface, _ = filled(grid, make_evaluator(sampled_loss), (key,), 5)
    expected = jax.random.normal(jax.random.fold_in(key, 0))
    np.testing.assert_allclose(surface.values.content, expected)


def test_default_batch_bounds_the_memory(monkeypatch):
    assert default_batch(256, 256) == 4
    assert default_batch(2000, 3000) == 1
    assert default_batch(16, 16) == 256
    monkeypatch.setattr(surface_module.jax, "default_backend", lambda: "gpu")
    assert default_batch(256, 256) == 32


def test_terms_are_those_of_the_total_loss_and_compile_once():
    preset = customize(
        get_preset("gatys2016"),
        size=Size("long", 24),
        content_layers=("relu1_2",),
        style_layers=("relu1_1", "relu1_2"),
        style_layer_weights=(0.3, 0.7),
    )
    evaluator = make_evaluator(loss_function(preset.loss))
    plane = random_plane(18, 24)
    s, t = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.5])
    for seed, weights in enumerate(
        ({"alpha": 0.02, "beta": 3.0, "tv": 0.5}, {"alpha": 1.0, "beta": 2.0, "tv": 0})
    ):
        preset = customize(preset, **weights)
        rng = np.random.default_rng(seed)
        photo, painting = rng.random((2, 18, 24, 3), dtype=np.float32)
        params = jax.tree.map(np.float32, reference.random_params(seed))
        data = prepare(photo, [painting], params, preset).data
        grid = empty_surface(plane, s * (1 + seed), t, preset.style_layers)
        # The last batch is shorter.
        values = filled(grid, evaluator, data, 4)[0].values
        losses = np.stack([values.content, values.style, values.tv], axis=2)
        losses = losses.reshape(-1, 3)
        images = [np.float32(point(plane, s, t)) for s in grid.s for t in grid.t]
        for image, terms in zip(images, losses, strict=True):
            expected, _ = total_loss(
                data.params,
                image,
                data.targets,
                data.weights,
                key=jax.random.fold_in(data.key, 0),
                **loss_structure(preset),
            )
            total = terms @ list(weights.values())
            np.testing.assert_allclose(total, expected, rtol=2e-5)
        by_layer = zip(
            preset.style_layer_weights, values.style_layers.values(), strict=True
        )
        by_layer = sum(weight * layer for weight, layer in by_layer)
        np.testing.assert_allclose(values.style, by_layer, rtol=1e-6)
        alone = image_losses(evaluator, images, data)
        np.testing.assert_allclose(alone, losses, rtol=2e-5)
    # One program for all grids, and one for the images alone.
    assert evaluator._cache_size() == 2
