"""A batch of runs: what they start from, stacked where they differ."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.analysis.sweeps import settings as swept
from nstjax.analysis.sweeps.settings import BLEND_WEIGHTS, Setting
from nstjax.errors import InputError
from nstjax.losses.objective import TransferData
from nstjax.losses.terms import Region, Targets
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import Original
from nstjax.problem.problem import NO_CONTROLS, make_weights, prepare
from nstjax.problem.targets import Controls
from nstjax.runtime import processes as distributed
from nstjax.runtime.mesh import batch_shardings
from nstjax.statistics.style import style_statistic

RUNS = "settings"  # the axis of a mesh
UNLIKE = (
    f"{BLEND_WEIGHTS} of 0 leave other layers or samples than the rest, which another "
    "program would be needed for: give small ones in place of 0"
)


class Batch(NamedTuple):
    """Runs side by side, and the preset and the original that they have in common.

    Where they start, [run, height, width, 3]; their learning rates, [run]; and what the
    loss takes beside the image, with a run axis where ``axes``, a prefix of it, has 0
    and not None. The first ``filled`` runs are settings, those that follow are padding.
    """

    images: Array
    learning_rates: Array
    data: TransferData
    axes: TransferData
    filled: int
    original: Original
    preset: Preset


def prepare_batch(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    params: Params,
    preset: Preset,
    settings: Sequence[Setting],
    *,
    seed: int = 0,
    init_image: np.ndarray | None = None,
    controls: Controls = NO_CONTROLS,
    size: int = 1,
) -> Batch:
    """The runs of some settings, each as ``nstjax.prepare`` makes it.

    The settings have the same names each, and change a preset of a single scale;
    ``seed`` is of the runs whose setting has none. The last setting fills the runs up
    to ``size`` at least, and to a multiple of the number of devices.
    """
    if preset.pyramid.kind != "none":
        raise InputError("a sweep has a single scale: choose pyramid=none")
    prepared: dict[Any, tuple[Array, TransferData, Original]] = {}
    starts = []
    for setting in settings:
        own = swept.preset_with(setting, preset)
        own_seed = swept.seed_with(setting, seed)
        own_controls = swept.controls_with(setting, controls, len(styles))
        blend = tuple(own_controls.style_blend_weights or ())
        key = (own_seed, own.image.noise_ratio, blend)
        if key not in prepared:
            problem = prepare(
                content,
                styles,
                params,
                own,
                seed=own_seed,
                init_image=init_image,
                controls=own_controls,
            )
            # Not the optimizer's state, which may be large.
            prepared[key] = problem.state.image, problem.data, problem.original
        image, data, original = prepared[key]
        data = data._replace(weights=make_weights(own))
        starts.append((image, np.float32(own.learning_rate), data))
    shapes = [jax.tree.map(jnp.shape, data.targets) for _, _, data in starts]
    if any(each != shapes[0] for each in shapes):
        raise InputError(UNLIKE)
    devices = jax.device_count()
    size = math.ceil(max(size, len(settings)) / devices) * devices
    starts += [starts[-1]] * (size - len(starts))
    axes = _run_axes(starts[0][2], settings[0], preset)
    by_run, everywhere = batch_shardings(devices, RUNS)

    def stack(axis: int | None, *values: Any) -> Any:
        if axis is None:
            return distributed.place(values[0], everywhere)
        return distributed.place(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *values), by_run
        )

    images, rates, data = map_axes(stack, (0, 0, axes), *starts)
    return Batch(images, rates, data, axes, len(settings), original, preset)


def batch_shapes(batch: Batch, size: int) -> Batch:
    """Shapes, dtypes and places of the same batch, were there ``size`` runs in it."""

    def shapes(axis: int | None, value: Any) -> Any:
        lead = () if axis is None else (size,)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                lead + leaf.shape[len(lead) :], leaf.dtype, sharding=leaf.sharding
            ),
            value,
        )

    images, rates, data = map_axes(shapes, (0, 0, batch.axes), tuple(batch[:3]))
    return batch._replace(images=images, learning_rates=rates, data=data)


def map_axes(function: Callable[..., Any], axes: Any, *trees: Any) -> Any:
    """``function(axis, *subtrees)`` of each entry of the axes, None or a number."""
    return jax.tree.map(function, axes, *trees, is_leaf=lambda axis: axis is None)


def _run_axes(data: TransferData, setting: Setting, preset: Preset) -> TransferData:
    drawn_anew = (
        style_statistic(preset.loss.style.style_loss).sampled and "seed" in setting
    )
    blended = any(name.startswith(f"{BLEND_WEIGHTS}.") for name in setting)
    shared: Any = None
    by_run: Any = 0
    style = by_run if drawn_anew or blended else shared
    regions = tuple(Region(shared, style, shared) for _ in data.targets.regions)
    targets = Targets(shared, style, regions)
    return TransferData(
        shared, targets, weights=by_run, key=by_run, stylize_mask=shared
    )
