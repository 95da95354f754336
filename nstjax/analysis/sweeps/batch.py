"""Runs side by side: what they start from, stacked where they differ."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import (
    AxisType,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

from nstjax.analysis.sweeps.settings import (
    BLEND_WEIGHTS,
    Setting,
    controls_with,
    preset_with,
    seed_with,
)
from nstjax.errors import InputError
from nstjax.losses.objective import TransferData
from nstjax.losses.terms import Region, Targets
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import Original
from nstjax.problem.problem import NO_CONTROLS, make_weights, prepare
from nstjax.problem.targets import Controls
from nstjax.runtime import processes as distributed
from nstjax.statistics.style import style_statistic

UNLIKE = (
    f"{BLEND_WEIGHTS} of 0 leave other layers or samples than the rest, which another "
    "program would be needed for: give small ones in place of 0"
)


class Lanes(NamedTuple):
    """Some runs side by side.

    Attributes:
      images: where they start, [lane, height, width, 3].
      learning_rates: [lane].
      data: what the loss takes beside the image, with a lane axis where ``axes`` has 0.
      axes: a prefix of ``data``: 0 where the lanes may differ, None elsewhere.
      filled: how many lanes are settings; those that follow are padding.
      original: what the results are finished with.
    """

    images: Array
    learning_rates: Array
    data: TransferData
    axes: TransferData
    filled: int
    original: Original


def prepare_lanes(
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
) -> Lanes:
    """The runs of some settings, each as ``nstjax.prepare`` makes it.

    Args:
      content: the photo, sRGB in 0..1, shape [height, width, 3].
      styles: the paintings likewise, each of its own size.
      params: the network.
      preset: what the settings change; of a single scale (pyramid="none").
      settings: with the same names each, see ``nstjax.analysis.sweeps.settings``.
      seed: of the lanes whose setting has none.
      init_image: where to start in place of the preset's init.
      controls: regions, masks and the paintings' shares.
      size: how many lanes there are to be at least; the last setting fills them up, to
        a multiple of the number of devices.

    Raises:
      InputError: see ``prepare``; or targets that one program cannot serve.
    """
    if preset.pyramid.kind != "none":
        raise InputError("a sweep has a single scale: choose pyramid=none")
    devices = jax.device_count()
    size = math.ceil(max(size, len(settings)) / devices) * devices
    starts: dict[Any, _Start] = {}

    def start_of(setting: Setting) -> _Start:
        lane_preset = preset_with(setting, preset)
        lane_seed = seed_with(setting, seed)
        lane_controls = controls_with(setting, controls, len(styles))
        blend = tuple(lane_controls.style_blend_weights or ())
        key = (lane_seed, lane_preset.image.noise_ratio, blend)
        if key not in starts:
            problem = prepare(
                content,
                styles,
                params,
                lane_preset,
                seed=lane_seed,
                init_image=init_image,
                controls=lane_controls,
            )
            starts[key] = _Start(
                problem.state.image, np.float32(0), problem.data, problem.original
            )
        data = starts[key].data._replace(weights=make_weights(lane_preset))
        rate = np.float32(lane_preset.learning_rate)
        return starts[key]._replace(learning_rate=rate, data=data)

    lanes = [start_of(setting) for setting in settings]
    _check_alike([lane.data.targets for lane in lanes])
    lanes += [lanes[-1]] * (size - len(lanes))
    axes = _lane_axes(lanes[0].data, settings[0], preset)
    by_lane, everywhere = lane_shardings()

    def place(axis: int | None, *values: Any) -> Any:
        if axis is None:
            return distributed.place(values[0], everywhere)
        return distributed.place(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *values), by_lane
        )

    return Lanes(
        images=place(0, *(lane.image for lane in lanes)),
        learning_rates=place(0, *(lane.learning_rate for lane in lanes)),
        data=jax.tree.map(
            place, axes, *(lane.data for lane in lanes), is_leaf=lambda x: x is None
        ),
        axes=axes,
        filled=len(settings),
        original=lanes[0].original,
    )


def lane_shapes(lanes: Lanes, size: int) -> Lanes:
    """Shapes, dtypes and places of the same lanes, were there ``size`` of them."""

    def shape(axis: int | None, value: Any) -> Any:
        def leaf_shape(leaf: Array) -> jax.ShapeDtypeStruct:
            lead = () if axis is None else (size,)
            return jax.ShapeDtypeStruct(
                lead + leaf.shape[len(lead) :], leaf.dtype, sharding=leaf.sharding
            )

        return jax.tree.map(leaf_shape, value)

    return lanes._replace(
        images=shape(0, lanes.images),
        learning_rates=shape(0, lanes.learning_rates),
        data=jax.tree.map(shape, lanes.axes, lanes.data, is_leaf=lambda x: x is None),
    )


def lane_shardings() -> tuple[Sharding, Sharding]:
    """Of what has a lane axis, spread over all devices, and of what all lanes share."""
    devices = jax.devices()
    if len(devices) == 1:
        # A mesh of one device would come out of the program as another than went in.
        return (SingleDeviceSharding(devices[0]),) * 2
    mesh = jax.make_mesh((len(devices),), ("settings",), axis_types=(AxisType.Auto,))
    by_lane = NamedSharding(mesh, PartitionSpec("settings"))
    return by_lane, NamedSharding(mesh, PartitionSpec())


class _Start(NamedTuple):
    image: Array
    learning_rate: np.float32
    data: TransferData
    original: Original


def _lane_axes(data: TransferData, setting: Setting, preset: Preset) -> TransferData:
    drawn_anew = (
        style_statistic(preset.loss.style.style_loss).sampled and "seed" in setting
    )
    blended = any(name.startswith(f"{BLEND_WEIGHTS}.") for name in setting)
    shared: Any = None
    by_lane: Any = 0
    style = by_lane if drawn_anew or blended else shared
    regions = tuple(Region(shared, style, shared) for _ in data.targets.regions)
    return TransferData(
        params=shared,
        targets=Targets(shared, style, regions),
        weights=by_lane,
        key=by_lane,
        stylize_mask=shared,
    )


def _check_alike(targets: Sequence[Targets]) -> None:
    shapes = [jax.tree.map(jnp.shape, each) for each in targets]
    if any(each != shapes[0] for each in shapes):
        raise InputError(UNLIKE)
