"""Runs side by side against single runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweep_examples import CONTENT, PARAMS, STYLES, batch_of, shallow, sweep_of

from nstjax.analysis.sweeps.settings import controls_with, grid, preset_with, seed_with
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.losses.objective import TransferData
from nstjax.losses.terms import LossTerms, Targets
from nstjax.optimization.optimizers import make_optimizer
from nstjax.optimization.steps import NonFiniteLossError, run
from nstjax.optimization.transfer import style_transfer
from nstjax.presets.settings import customize
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import prepare
from nstjax.problem.targets import Controls
from nstjax.runs.stylize import stylize


def assert_like_single_runs(settings, batch, results):
    for index, setting in enumerate(settings):
        chosen = preset_with(setting, batch.preset)
        seed = seed_with(setting, 0)
        alone = stylize(CONTENT, STYLES[0], PARAMS, chosen, seed=seed)
        log = {"total": results.log.loss, **results.log.terms._asdict()}
        losses = jax.tree.leaves(alone.losses._asdict())
        for mine, its in zip(jax.tree.leaves(log), losses, strict=True):
            tolerance = 1e-5 * np.abs(its).max()
            np.testing.assert_allclose(mine[index], its, rtol=1e-5, atol=tolerance)
        image = finish(results.images[index], batch.preset, batch.original)
        np.testing.assert_allclose(image, alone.image, atol=1e-5)


@pytest.mark.parametrize(
    ("preset", "values"),
    [
        (
            shallow("gatys2016", optimizer="adam", keep="best", init="style"),
            {
                "beta": [0.1, 10.0],
                "learning_rate": [0.5, 60.0],
                "style_layer_weights.relu1_1": [0.1],
            },
        ),
        (
            shallow("johnson2015", lbfgs_num_correction=3, keep="average"),
            {"seed": [0, 7], "tv": [0.0, 1e-2], "alpha": [1.0]},
        ),
    ],
    ids=["adam", "lbfgs"],
)
def test_a_batch_is_single_runs(preset, values):
    settings = list(grid(values))
    batch = batch_of(preset, settings)
    told = []
    # Steps are dispatched three at a time.
    results = run_batch(sweep_of(preset, batch, 3), batch, callback=told.append)
    assert told == [3, 1, 1]
    assert not results.diverged.any()
    assert results.stop_steps.tolist() == [preset.steps] * len(settings)
    assert results.log.loss.shape == (len(settings), preset.steps + 1)
    assert results.log.gradient_norm.shape == results.log.loss.shape
    # Runs that are all alike would show nothing.
    assert len(np.unique(results.log.loss[:, -1])) == len(settings)
    assert_like_single_runs(settings, batch, results)


@pytest.mark.parametrize(
    ("preset", "values", "styles", "style_axis"),
    [
        (shallow("johnson2015", optimizer="adam"), {"seed": [0, 7]}, 1, None),
        (
            shallow("coursera", style_size="content"),
            {
                "noise_ratio": [0.0, 0.5],
                "style_blend_weights.2": [0.0, 0.5],
                "content_layer_weights.relu1_1": [2.0, 3.0],
            },
            *(2, 0),
        ),
        (
            # More positions than are kept, so that the seed draws some of them.
            shallow(
                "gatys2016", style_loss="sliced", style_size=Size("exact", (130, 130))
            ),
            {"seed": [0, 3], "style_blend_weights.1": [0.5, 2.0]},
            *(2, 0),
        ),
    ],
    ids=["noise", "blends", "sampled blends"],
)
def test_runs_start_from_what_prepare_gives(preset, values, styles, style_axis):
    settings = list(grid(values))
    batch = batch_of(preset, settings, styles)
    # What all runs share has no run axis.
    targets = Targets(None, style_axis, ())
    assert batch.axes == TransferData(None, targets, 0, 0, None)
    starts = set()
    for index, setting in enumerate(settings):
        problem = prepare(
            CONTENT,
            STYLES[:styles],
            PARAMS,
            preset_with(setting, preset),
            seed=seed_with(setting, 0),
            controls=controls_with(setting, Controls(), styles),
        )
        data = jax.tree.map(
            lambda axis, tree, run=index: (
                tree if axis is None else jax.tree.map(lambda leaf: leaf[run], tree)
            ),
            batch.axes,
            batch.data,
            is_leaf=lambda x: x is None,
        )
        assert_trees_equal(data, problem.data)
        np.testing.assert_array_equal(batch.images[index], problem.state.image)
        rate = problem.state.opt_state.hyperparams["learning_rate"]
        assert batch.learning_rates[index] == rate
        style = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(data.targets))
        image = np.asarray(batch.images[index]).tobytes()
        starts.add((style, image, float(data.weights.content_layers["relu1_1"])))
    # Runs that are all alike would show nothing.
    assert len(starts) == len(settings)


def assert_trees_equal(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for leaf, its in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        assert leaf.dtype == its.dtype
        assert leaf.weak_type == its.weak_type if hasattr(its, "weak_type") else True
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, its = map(jax.random.key_data, (leaf, its))
        np.testing.assert_array_equal(leaf, its)


def test_one_trace_serves_every_chunk_and_grid():
    preset = shallow("gatys2016", optimizer="adam", steps=3)
    transfer, traces = make_transfer(preset), []

    def step(state, *data):
        traces.append(state.image.shape)
        return transfer.step(state, *data)

    settings = list(grid({"beta": [1.0, 2, 3, 4, 5], "learning_rate": [1.0]}))
    first = batch_of(preset, settings[:3])
    sweep = make_sweep(transfer._replace(step=step), first.axes)
    run_batch(sweep, first)
    rest = batch_of(preset, settings[3:], size=3)
    assert rest.images.shape[0] == 3
    assert rest.filled == 2
    padded = run_batch(sweep, rest)
    other = grid({"beta": np.array([7, 8, 9]), "learning_rate": [np.float64(3)]})
    run_batch(sweep, batch_of(preset, other))
    assert traces == [(16, 20, 3)]
    assert sweep.steps.advance._cache_size() == 1
    assert sweep.init._cache_size() == 1
    # The run that pads is nobody's result.
    assert padded.images.shape == (2, 16, 20, 3)
    assert padded.log.loss.shape == (2, 4)
    assert_like_single_runs(settings[3:], rest, padded)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_diverging_run_is_frozen_and_harms_nobody(keep):
    preset = shallow("gatys2016", optimizer="adam", keep=keep, init="noise")
    settings = [
        *grid({"learning_rate": [1.0, 1e15, 1e30, 2.0], "beta": [1.0]}),
        {"learning_rate": 1.0, "beta": 3e38},
    ]
    batch = batch_of(preset, settings)
    results = run_batch(sweep_of(preset, batch), batch)
    assert results.diverged.tolist() == [False, True, True, False, True]
    assert results.stop_steps.tolist() == [4, 1, 1, 4, 0]
    for index in np.flatnonzero(results.diverged):
        stop = results.stop_steps[index]
        for leaf in jax.tree.leaves(results.log):
            assert np.isfinite(leaf[index, :stop]).all()
            assert np.isnan(leaf[index, stop:]).all()
        chosen = preset_with(settings[index], preset)
        problem = prepare(CONTENT, STYLES[:1], PARAMS, chosen)
        with pytest.raises(NonFiniteLossError) as raised:
            list(run(problem.steps, problem.state, problem.data, preset.steps))
        np.testing.assert_allclose(results.images[index], raised.value.image)
    fine = np.flatnonzero(~results.diverged)
    harmless = jax.tree.map(lambda leaf: leaf[fine], results)
    assert_like_single_runs([settings[index] for index in fine], batch, harmless)


def test_a_gradient_that_is_not_finite_freezes_a_run_too():
    def loss_fn(image, power):
        # At 0 the gradient of |x|^p is infinite for p < 1, and the loss is not.
        loss = jnp.sum(jnp.abs(image) ** power)
        return loss, LossTerms(loss, loss, loss, {}, {})

    transfer = style_transfer(loss_fn, make_optimizer("adam"))
    preset = shallow("gatys2016")
    images = np.ones((2, 2, 2, 3), np.float32)
    images[:, 0, 0, 0] = 0.0
    batch = batch_of(preset, grid({"beta": [1.0, 2.0]}))
    batch = batch._replace(images=images, data=(np.float32([2.0, 0.5]),), axes=(0,))
    results = run_batch(make_sweep(transfer, batch.axes), batch)
    assert results.diverged.tolist() == [False, True]
    assert results.stop_steps.tolist() == [4, 0]
    assert np.isnan(results.log.loss[1]).all()
    np.testing.assert_array_equal(results.images[1], images[1])
    assert np.abs(results.images[0] - images[0]).max() > 0.1


def test_what_one_program_cannot_serve_is_told():
    pyramid = customize(shallow("gatys2016"), pyramid="2")
    with pytest.raises(InputError, match="a sweep has a single scale"):
        batch_of(pyramid, grid({"beta": [1.0]}))
    sampled = shallow("gatys2016", style_loss="sliced")
    with pytest.raises(InputError, match="style_blend_weights of 0 leave other layers"):
        batch_of(sampled, grid({"style_blend_weights.1": [0.0, 1.0]}), 2)
    batch_of(sampled, grid({"style_blend_weights.1": [0.1, 1.0]}), 2)
