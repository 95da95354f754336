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
    first = batch_of(preset, [next(iter(settings))])
    sweep = compile_sweep(sweep_of(preset, first), first, settings.count)
    batch = batch_of(preset, settings, size=sweep.size)
    assert batch.filled == 9
    assert sweep.shapes.images.shape[0] == batch.images.shape[0] == runs
    assert estimate_run_bytes(sweep, first) < 1e6
    return batch, run_batch(sweep, batch)


STEPS = np.array([0, 1, 10, 100])
LAYERS = {"content_layers": ("relu4_2",), "style_layers": ("relu5_1", "conv1_1")}
SETTINGS = {
    "tv": np.arange(3) / 3,
    "seed": np.arange(3),
    "style_layer_weights.relu4_1": 2.0 * np.arange(3),
}


def example(settings=SETTINGS, diverged=(1,), size=(5, 6)):
    """Losses and a color of its own for every run; a diverged one stops at step 10."""
    settings = {name: np.asarray(values) for name, values in settings.items()}
    count = len(next(iter(settings.values())))
    random = np.random.default_rng(0)
    lost = np.isin(np.arange(count), diverged)

    def losses():
        values = 10 ** random.uniform(-2, 6, (count, STEPS.size))
        return np.where(lost[:, None] & (STEPS >= 10), np.nan, values).astype("f4")

    log = {name: losses() for name in SCALARS}
    layers = {
        group: {layer: losses() for layer in names} for group, names in LAYERS.items()
    }
    colors = np.stack([np.full(count, 90), np.arange(count), np.full(count, 7)], 1)
    return Sweep(
        settings=settings,
        status=np.where(lost, "diverged", "done"),
        stop_steps=np.where(lost, 10, 100).astype(np.int32),
        log={"step": STEPS, **log, **layers},
        final={name: log[name][:, -1].astype(np.float64) for name in FINAL},
        images=np.tile(np.uint8(colors)[:, None, None], (1, *size, 1)),
        config={"settings": {"alpha": 0.1, "beta": 5.0}, "device": "a"},
    )
