"""How many runs fit into memory and on the devices."""

import numpy as np
import pytest
from sweep_examples import batch_of, shallow, sweep_of

from nstjax.analysis.sweeps import memory as sweep_memory
from nstjax.analysis.sweeps.memory import compile_sweep, estimate_run_bytes, fit_sweep
from nstjax.analysis.sweeps.settings import grid
from nstjax.analysis.sweeps.sweep import CompiledSweep, run_batch
from nstjax.errors import InputError


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
    batch = batch_of(preset, grid({"beta": [1.0, 2.0]}))
    estimate = estimate_run_bytes(sweep_of(preset, batch), batch)
    expected = 4 * 16 * 20 * (copies * 4 + images * 3)  # conv1_1 has 4 channels
    assert expected < estimate < expected + 200  # scalars


def test_chunks_fit_into_the_memory(monkeypatch):
    batch = batch_of(shallow("gatys2016"), grid({"beta": [1.0]}))
    compiled = []

    def compile_for(sweep, batch, size):
        compiled.append(size)
        return CompiledSweep(None, None, None, size, 1000 + 100 * size)

    monkeypatch.setattr(sweep_memory.memory, "memory_in_use", lambda: 1000)
    monkeypatch.setattr(sweep_memory, "compile_sweep", compile_for)

    def fitted(estimate, count, most, budget):
        compiled.clear()
        monkeypatch.setattr(sweep_memory, "estimate_run_bytes", lambda *_: estimate)
        return fit_sweep(None, batch, count, most, 1.05 * budget).size

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
    monkeypatch.setattr(sweep_memory.memory, "memory_in_use", lambda: 0)
    layers = {"content_layers": ("relu1_2",), "style_layers": ("relu1_1", "relu1_2")}
    preset = shallow("gatys2016", optimizer="adam", steps=2, **layers)
    settings = list(grid({"beta": [1.0, 2.0]}))
    batch = batch_of(preset, settings)
    sweep = sweep_of(preset, batch)
    fitted = compile_sweep(sweep, batch_of(preset, settings[:1]), 2)
    assert (fitted.size, fitted.shapes.images.shape) == (2, (2, 16, 20, 3))
    estimate = estimate_run_bytes(sweep, batch)
    # With so few channels, what has 3 or 27 of them counts more than in a network.
    assert 2 * estimate < fitted.peak_bytes < 10 * estimate
    found, expected = (run_batch(each, batch).log.loss for each in (fitted, sweep))
    np.testing.assert_array_equal(found, expected)
