"""Batch side by side against single runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from nstjax.analysis.sweeps import sweep as sweep_lanes
from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.settings import controls_with, grid, preset_with, seed_with
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.losses.total import LossTerms
from nstjax.optimization.optimizers import make_optimizer
from nstjax.optimization.steps import NonFiniteLossError, run
from nstjax.optimization.transfer import style_transfer
from nstjax.presets.preset import customize
from nstjax.presets.published import PRESETS
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import make_transfer, prepare
from nstjax.problem.targets import Controls
from nstjax.runs.stylize import stylize

# One convolution compiles at once.
SHALLOW = {
    "content_layers": ("relu1_1",),
    "style_layers": ("conv1_1", "relu1_1"),
    "size": Size("exact", (16, 20)),
    "pyramid": "none",
    "steps": 4,
}
PARAMS = jax.tree.map(np.float32, reference.random_params())


def picture(seed, height=20, width=24):
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


CONTENT, STYLES = picture(1), [picture(2), picture(3, 24, 18)]


def shallow(name, **overrides):
    return customize(PRESETS[name], **{**SHALLOW, **overrides})


def lanes_of(preset, settings, styles=1, **options):
    return prepare_batch(
        CONTENT, STYLES[:styles], PARAMS, preset, list(settings), **options
    )


def sweep_of(preset, lanes, longest=None):
    return make_sweep(make_transfer(preset), lanes.axes, longest)


def assert_like_single_runs(preset, settings, results, original):
    for index, setting in enumerate(settings):
        chosen = preset_with(setting, preset)
        seed = seed_with(setting, 0)
        alone = stylize(CONTENT, STYLES[0], PARAMS, chosen, seed=seed)
        log = results.log
        for mine, its in (
            (log.loss, alone.losses.total),
            (log.terms.content, alone.losses.content),
            (log.terms.style, alone.losses.style),
            (log.terms.tv, alone.losses.tv),
            *(
                (log.terms.style_layers[layer], alone.losses.style_layers[layer])
                for layer in preset.style_layers
            ),
        ):
            np.testing.assert_allclose(
                mine[index], its, rtol=1e-5, atol=1e-5 * np.abs(its).max()
            )
        image = finish(results.images[index], preset, original)
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
def test_lanes_are_single_runs(preset, values):
    settings = list(grid(values))
    lanes = lanes_of(preset, settings)
    results = run_batch(sweep_of(preset, lanes), lanes)
    assert not results.diverged.any()
    assert results.stop_steps.tolist() == [preset.steps] * len(settings)
    assert results.log.loss.shape == (len(settings), preset.steps + 1)
    assert results.log.gradient_norm.shape == results.log.loss.shape
    # Batch that are all alike would show nothing.
    assert len(np.unique(results.log.loss[:, -1])) == len(settings)
    assert_like_single_runs(preset, settings, results, lanes.original)


@pytest.mark.parametrize(
    ("preset", "values", "styles"),
    [
        (shallow("johnson2015", optimizer="adam"), {"seed": [0, 7]}, 1),
        (
            shallow("coursera", style_size="content"),
            {
                "noise_ratio": [0.0, 0.5],
                "style_blend_weights.2": [0.0, 0.5],
                "content_layer_weights.relu1_1": [2.0, 3.0],
            },
            2,
        ),
        (
            # More positions than are kept, so that the seed draws some of them.
            shallow(
                "gatys2016", style_loss="sliced", style_size=Size("exact", (130, 130))
            ),
            {"seed": [0, 3], "style_blend_weights.1": [0.5, 2.0]},
            2,
        ),
    ],
    ids=["noise", "blends", "sampled blends"],
)
def test_lanes_start_from_what_prepare_gives(preset, values, styles):
    settings = list(grid(values))
    lanes = lanes_of(preset, settings, styles)
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
            lambda axis, tree, lane=index: (
                tree if axis is None else jax.tree.map(lambda leaf: leaf[lane], tree)
            ),
            lanes.axes,
            lanes.data,
            is_leaf=lambda x: x is None,
        )
        assert_trees_equal(data, problem.data)
        np.testing.assert_array_equal(lanes.images[index], problem.state.image)
        rate = problem.state.opt_state.hyperparams["learning_rate"]
        assert lanes.learning_rates[index] == rate
        style = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(data.targets))
        image = np.asarray(lanes.images[index]).tobytes()
        starts.add((style, image, float(data.weights.content_layers["relu1_1"])))
    # Batch that are all alike would show nothing.
    assert len(starts) == len(settings)


def assert_trees_equal(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for leaf, its in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        assert leaf.dtype == its.dtype
        assert leaf.weak_type == its.weak_type if hasattr(its, "weak_type") else True
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, its = map(jax.random.key_data, (leaf, its))
        np.testing.assert_array_equal(leaf, its)


def test_what_all_lanes_share_has_no_lane_axis():
    preset = shallow("gatys2016", optimizer="adam")
    lanes = lanes_of(preset, grid({"beta": [1.0, 2.0], "seed": [0, 1]}))
    kernel = PARAMS["conv1_1"]["kernel"]
    assert lanes.data.params["conv1_1"]["kernel"].shape == kernel.shape
    assert lanes.data.targets.content["relu1_1"].shape == (16, 20, 4)
    assert lanes.data.targets.style["relu1_1"].shape == (4, 4)
    assert lanes.data.weights.tv.shape == lanes.data.key.shape == (4,)
    blended = lanes_of(preset, grid({"style_blend_weights.1": [0.0, 2.0]}), 2)
    assert blended.data.targets.content["relu1_1"].shape == (16, 20, 4)
    assert blended.data.targets.style["relu1_1"].shape == (2, 4, 4)


def test_chunks_of_steps_are_the_same_steps():
    preset = shallow("gatys2016", optimizer="adam")
    settings = list(grid({"learning_rate": [0.5, 30.0]}))
    lanes = lanes_of(preset, settings)
    told = []
    results = run_batch(sweep_of(preset, lanes, 3), lanes, tell=told.append)
    assert told == [3, 1, 1]
    assert_like_single_runs(preset, settings, results, lanes.original)


def test_dispatches_are_not_listed():
    assert list(sweep_lanes._dispatches(7, 3)) == [3, 3, 1]
    assert list(sweep_lanes._dispatches(6, 3)) == [3, 3]
    assert next(iter(sweep_lanes._dispatches(2**63, 2))) == 2


def test_one_trace_serves_every_chunk_and_grid():
    preset = shallow("gatys2016", optimizer="adam", steps=3)
    transfer, traces = make_transfer(preset), []

    def step(state, *data):
        traces.append(state.image.shape)
        return transfer.step(state, *data)

    settings = list(grid({"beta": [1.0, 2, 3, 4, 5], "learning_rate": [1.0]}))
    first = lanes_of(preset, settings[:3])
    sweep = make_sweep(transfer._replace(step=step), first.axes)
    whole = run_batch(sweep, first)
    rest = lanes_of(preset, settings[3:], size=3)
    assert rest.images.shape[0] == 3
    assert rest.filled == 2
    padded = run_batch(sweep, rest)
    other = grid({"beta": np.array([7, 8, 9]), "learning_rate": [np.float64(3)]})
    run_batch(sweep, lanes_of(preset, other))
    assert traces == [(16, 20, 3)]
    assert sweep.steps.advance._cache_size() == 1
    assert sweep.init._cache_size() == 1
    # The lane that pads is nobody's result.
    assert padded.images.shape == (2, 16, 20, 3)
    assert padded.log.loss.shape == (2, 4)
    for results, part in ((whole, settings[:3]), (padded, settings[3:])):
        assert_like_single_runs(preset, part, results, first.original)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_diverging_lane_is_frozen_and_harms_nobody(keep):
    preset = shallow("gatys2016", optimizer="adam", keep=keep, init="noise")
    settings = [
        *grid({"learning_rate": [1.0, 1e15, 1e30, 2.0], "beta": [1.0]}),
        {"learning_rate": 1.0, "beta": 3e38},
    ]
    lanes = lanes_of(preset, settings)
    results = run_batch(sweep_of(preset, lanes), lanes)
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
    fine = [index for index in range(5) if not results.diverged[index]]
    harmless = jax.tree.map(lambda leaf: leaf[fine], results)
    those = [settings[index] for index in fine]
    assert_like_single_runs(preset, those, harmless, lanes.original)


def test_a_gradient_that_is_not_finite_freezes_a_lane_too():
    def loss_fn(image, power):
        # At 0 the gradient of |x|^p is infinite for p < 1, and the loss is not.
        loss = jnp.sum(jnp.abs(image) ** power)
        return loss, LossTerms(loss, loss, loss, {}, {})

    transfer = style_transfer(loss_fn, make_optimizer("adam"))
    preset = shallow("gatys2016")
    lanes = lanes_of(preset, grid({"beta": [1.0, 2.0]}))
    images = np.ones((2, 2, 2, 3), np.float32)
    images[:, 0, 0, 0] = 0.0
    lanes = lanes._replace(images=images, data=(np.float32([2.0, 0.5]),), axes=(0,))
    sweep = make_sweep(transfer, lanes.axes)
    results = run_batch(sweep, lanes)
    assert results.diverged.tolist() == [False, True]
    assert results.stop_steps.tolist() == [4, 0]
    assert np.isnan(results.log.loss[1]).all()
    np.testing.assert_array_equal(results.images[1], images[1])
    assert np.abs(results.images[0] - images[0]).max() > 0.1


def test_what_one_program_cannot_serve_is_told():
    pyramid = customize(shallow("gatys2016"), pyramid="2")
    with pytest.raises(InputError, match="a sweep has a single scale"):
        lanes_of(pyramid, grid({"beta": [1.0]}))
    sampled = shallow("gatys2016", style_loss="sliced")
    with pytest.raises(InputError, match="style_blend_weights of 0 leave other layers"):
        lanes_of(sampled, grid({"style_blend_weights.1": [0.0, 1.0]}), 2)
    lanes_of(sampled, grid({"style_blend_weights.1": [0.1, 1.0]}), 2)
