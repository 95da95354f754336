"""Sweeps of few small runs, and one of made-up numbers."""

import jax
import numpy as np
import reference

from nstjax.analysis.sweeps.batch import prepare_lanes
from nstjax.analysis.sweeps.file import FINAL, SCALARS, Sweep
from nstjax.analysis.sweeps.memory import compile_sweep, estimate_lane_bytes
from nstjax.analysis.sweeps.settings import grid
from nstjax.analysis.sweeps.sweep import make_sweep, run_lanes
from nstjax.images.resizing import Size
from nstjax.presets.preset import customize
from nstjax.presets.published import PRESETS
from nstjax.problem.compiled_transfer import make_transfer

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


LAYERS = {"content_layers": ("relu4_2",), "style_layers": ("relu5_1", "conv1_1")}


def example(first=0, count=3, rows=4):
    """A sweep whose numbers all differ, with settings that are not in order."""
    random = np.random.default_rng(first)

    def table():
        return random.random((count, rows)).astype(np.float32)

    lanes = np.arange(first, first + count)
    return Sweep(
        settings={
            "tv": lanes / 3,
            "seed": lanes,
            "style_layer_weights.relu4_1": 2.0 * lanes,
        },
        status=np.where(lanes % 2, "diverged", "done"),
        stop_steps=np.where(lanes % 2, 1, rows - 1).astype(np.int32),
        log={
            "step": np.arange(rows),
            **{name: table() for name in SCALARS},
            **{
                group: {layer: table() for layer in layers}
                for group, layers in LAYERS.items()
            },
        },
        final={name: random.random(count) for name in FINAL},
        images=random.integers(0, 256, (count, 5, 6, 3)).astype(np.uint8),
        config={"settings": {"alpha": 1.0, "beta": 1e3}, "device": "a"},
    )
