"""Sweeps of few small runs, and one of made-up numbers."""

import jax
import numpy as np
import reference

from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.file import FINAL, SCALARS, Sweep
from nstjax.analysis.sweeps.memory import compile_sweep, estimate_run_bytes
from nstjax.analysis.sweeps.settings import grid
from nstjax.analysis.sweeps.sweep import make_sweep, run_batch
from nstjax.images.resizing import Size
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.compiled_transfer import make_transfer

PARAMS = jax.tree.map(np.float32, reference.random_params())
CONTENT, *STYLES = (
    np.random.default_rng(seed).random(size, dtype=np.float32)
    for seed, size in enumerate([(20, 24, 3), (20, 24, 3), (24, 18, 3)])
)


def shallow(name, **overrides):
    """A preset of one convolution, which compiles at once."""
    settings = {
        "content_layers": ("relu1_1",),
        "style_layers": ("conv1_1", "relu1_1"),
        "size": Size("exact", (16, 20)),
        "pyramid": "none",
        "steps": 4,
    }
    return customize(PRESETS[name], **{**settings, **overrides})


def batch_of(preset, settings, styles=1, **options):
    return prepare_batch(
        CONTENT, STYLES[:styles], PARAMS, preset, list(settings), **options
    )


def sweep_of(preset, batch, longest=None):
    return make_sweep(make_transfer(preset), batch.axes, longest)


def spread(runs):
    """Nine settings, in the program that is compiled for them; see test_sharding.py."""
    preset = shallow("gatys2016", optimizer="adam", steps=3)
    settings = grid({"beta": [0.1, 1.0, 10.0], "seed": [0, 1, 2]})
    first = batch_of(preset, [settings[0]])
    sweep = compile_sweep(sweep_of(preset, first), first, settings.count)
    batch = batch_of(preset, settings, size=sweep.size)
    assert batch.filled == 9
    assert sweep.shapes.images.shape[0] == batch.images.shape[0] == runs
    assert estimate_run_bytes(sweep, first) < 1e6
    return batch, run_batch(sweep, batch)


LAYERS = {"content_layers": ("relu4_2",), "style_layers": ("relu5_1", "conv1_1")}


def example(count=3, rows=4):
    """A sweep whose numbers all differ, with settings that are not in order."""
    random = np.random.default_rng(0)

    def table():
        return random.random((count, rows)).astype(np.float32)

    runs = np.arange(count)
    return Sweep(
        settings={
            "tv": runs / 3,
            "seed": runs,
            "style_layer_weights.relu4_1": 2.0 * runs,
        },
        status=np.where(runs % 2, "diverged", "done"),
        stop_steps=np.where(runs % 2, 1, rows - 1).astype(np.int32),
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
