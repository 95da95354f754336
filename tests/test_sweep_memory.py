"""How many lanes fit into memory and on the devices."""

import jax
import numpy as np
import pytest
import reference

from nstjax.analysis import sweep_memory
from nstjax.analysis.lanes import prepare_lanes
from nstjax.analysis.settings import grid
from nstjax.analysis.sweep import make_sweep, run_lanes
from nstjax.analysis.sweep_memory import (
    FittedSweep,
    compile_sweep,
    estimate_lane_bytes,
    fit_sweep,
)
from nstjax.errors import InputError
from nstjax.preset import customize
from nstjax.presets import PRESETS
from nstjax.problem import make_transfer
from nstjax.sizes import Size

PARAMS = jax.tree.map(np.float32, reference.random_params())


def shallow(name, **overrides):
    """A preset of one block of the trunk, which compiles at once."""
    return customize(
        PRESETS[name],
        content_layers=("relu1_2",),
        style_layers=("relu1_1", "relu1_2"),
        size=Size("exact", (16, 20)),
        pyramid="none",
        **overrides,
    )


def lanes_of(preset, settings, **options):
    random = np.random.default_rng(0)
    content, style = random.random((2, 20, 24, 3), dtype=np.float32)
    return prepare_lanes(content, [style], PARAMS, preset, list(settings), **options)


def sweep_of(preset, lanes):
    return make_sweep(make_transfer(preset), lanes.axes)


@pytest.mark.parametrize(
    ("optimizer", "copies", "images"),
    [
        # Image, best and last finite one; two moments, or two and three pairs.
        ("adam", 2, 3 + 2),
        ("lbfgs", 2, 3 + 2 + 6),
        ("lbfgs-linesearch", 4, 3 + 2 + 6 + 1),
    ],
)
def test_the_estimate_is_its_formula(optimizer, copies, images):
    preset = shallow("gatys2016", optimizer=optimizer, lbfgs_num_correction=3)
    lanes = lanes_of(preset, grid({"beta": [1.0, 2.0]}))
    estimate = estimate_lane_bytes(sweep_of(preset, lanes), lanes, preset)
    activations = 16 * 20 * (4 + 4)  # conv1_1 and conv1_2
    expected = 4 * (copies * activations + images * 16 * 20 * 3)
    assert expected < estimate < expected + 200  # scalars


def test_chunks_fit_into_the_memory(monkeypatch):
    preset = shallow("gatys2016")
    lanes = lanes_of(preset, grid({"beta": [1.0]}))
    compiled = []

    def compile_for(sweep, lanes, preset, size):
        compiled.append(size)
        return FittedSweep(sweep, lanes, size, size, 1000 + 100 * size)

    monkeypatch.setattr(sweep_memory, "memory_in_use", lambda: 1000)
    monkeypatch.setattr(sweep_memory, "compile_sweep", compile_for)

    def fitted(estimate, count, most, budget):
        compiled.clear()
        monkeypatch.setattr(sweep_memory, "estimate_lane_bytes", lambda *_: estimate)
        return fit_sweep(None, lanes, preset, count, most, 1.05 * budget).size

    assert fitted(100, 20, 64, 1e9) == 20
    assert fitted(100, 20, 8, 1e9) == 7
    # As many as the estimate allows, in chunks of equal size.
    assert fitted(200, 20, 64, 3700) == 10
    assert compiled == [10]
    # Too low an estimate is put right by what is compiled.
    assert fitted(1, 20, 64, 2000) == 10
    assert compiled == [20, 10]
    assert fitted(1, 20, 64, 1100) == 1
    with pytest.raises(InputError, match="1 of the settings at a time would need"):
        fitted(1, 20, 64, 1099)


def test_the_compiled_program_is_counted_and_runs(monkeypatch):
    monkeypatch.setattr(sweep_memory, "memory_in_use", lambda: 0)
    preset = shallow("gatys2016", optimizer="adam", steps=2)
    settings = list(grid({"beta": [1.0, 2.0]}))
    lanes = lanes_of(preset, settings)
    sweep = sweep_of(preset, lanes)
    fitted = compile_sweep(sweep, lanes_of(preset, settings[:1]), preset, 2)
    assert (fitted.size, fitted.lanes) == (2, 2)
    estimate = estimate_lane_bytes(sweep, lanes, preset)
    # With so few channels, what has 3 or 27 of them counts more than in a network.
    assert 2 * estimate < fitted.peak_bytes < 10 * estimate
    results = run_lanes(fitted.sweep, lanes, preset)
    np.testing.assert_array_equal(
        results.log.loss, run_lanes(sweep, lanes, preset).log.loss
    )


def spread(lanes):
    """Nine settings, in the program that is compiled for them; see test_sharding.py."""
    preset = shallow("gatys2016", optimizer="adam", steps=3)
    settings = grid({"beta": [0.1, 1.0, 10.0], "seed": [0, 1, 2]})
    first = lanes_of(preset, [settings[0]])
    fitted = compile_sweep(sweep_of(preset, first), first, preset, settings.count)
    prepared = lanes_of(preset, settings, size=fitted.lanes)
    assert prepared.filled == 9
    assert fitted.lanes == prepared.images.shape[0] == lanes
    assert estimate_lane_bytes(fitted.sweep, first, preset) < 1e6
    return prepared, run_lanes(fitted.sweep, prepared, preset)
