"""A preset's settings by name: reading them, changing them, and what they may be."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, SupportsFloat, get_args, get_origin, get_type_hints

from nstjax.errors import InputError
from nstjax.images.resizing import Rule
from nstjax.network.architecture import LAYERS, check_layers
from nstjax.optimization.optimizers import OPTIMIZERS
from nstjax.presets.preset import Preset
from nstjax.statistics.style import style_statistic
from nstjax.statistics.table import STATISTICS

LARGEST_NUMBER = 3.4e38  # of float32
# The least and the most of each number, or of each of several.
LIMITS = {
    **dict.fromkeys(
        (
            *("alpha", "beta", "tv", "noise_scale", "learning_rate"),
            *("content_layer_weights", "style_layer_weights"),
        ),
        (0, LARGEST_NUMBER),
    ),
    "noise_ratio": (0, 1),
    "lbfgs_num_correction": (1, 1000),  # a pair needs the memory of two images
    # An int32 counts them, over all scales of a pyramid.
    "steps": (1, 10**8),
    "pyramid_steps": (1, 10**8),
    "pyramid_min_size": (1, 10**8),
    "guide_dilation": (-100, 100),
    "style_scale": (0.05, 20),
    "average_decay": (0, 0.999999),
    "adam_betas": (0, 0.999999),
}


def settings_of(preset: Preset) -> dict[str, Any]:
    """A preset as one flat record {setting: value}."""
    return {name: functools.reduce(getattr, path, preset) for name, path in _paths()}


def setting_choices(name: str) -> tuple[str, ...]:
    """The names that a setting may have; none where it is no choice."""
    tables = {"style_loss": tuple(STATISTICS), "optimizer": tuple(OPTIMIZERS)}
    hint = setting_types()[name]
    return tables.get(name, get_args(hint) if get_origin(hint) is Literal else ())


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A flat record as ``dataclasses.asdict`` has a preset; unknown names stay."""
    paths = dict(_paths())
    result: dict[str, Any] = {}
    for name, value in settings.items():
        *groups, field = paths.get(name, (name,))
        group = result
        for each in groups:
            group = group.setdefault(each, {})
        group[field] = value
    return result


def with_settings(preset: Preset, **settings: Any) -> Preset:
    """A preset with other settings, unchecked."""

    def replaced(value: Any, changes: Mapping[str, Any]) -> Any:
        return dataclasses.replace(
            value,
            **{
                name: replaced(getattr(value, name), change)
                if dataclasses.is_dataclass(getattr(value, name))
                else change
                for name, change in changes.items()
            },
        )

    changed: Preset = replaced(preset, nested(settings))
    return changed


def new_preset(source: str, **settings: Any) -> Preset:
    """A preset whose other settings are the defaults of ``Preset``."""
    return with_settings(Preset(source=source), **settings)


@functools.cache
def _paths() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each setting, and where it lies in a preset."""

    def of(value: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if dataclasses.is_dataclass(inner):
                yield from ((name, (field.name, *path)) for name, path in of(inner))
            else:
                yield field.metadata.get("setting", field.name), (field.name,)

    return tuple(of(Preset(source="")))


@functools.cache
def setting_types() -> dict[str, Any]:
    """{setting: type}."""
    hints = {}
    for name, (*groups, field) in _paths():
        group = functools.reduce(getattr, groups, Preset(source=""))
        hints[name] = get_type_hints(type(group))[field]
    return hints


def default_size_rule(preset: Preset) -> Rule:
    """What a number alone means as a size: the preset's own rule, or the long side."""
    rule = preset.image.size.rule
    return "long" if rule in ("exact", "original") else rule


def loss_structure(preset: Preset) -> dict[str, Any]:
    """The keyword arguments that make ``nstjax.total_loss`` the preset's."""
    names = [name for name, path in _paths() if path[0] == "loss"]
    return {name: value for name, value in settings_of(preset).items() if name in names}


def deepest_layer(preset: Preset) -> str:
    """The deepest layer that a preset's loss reads."""
    return max((*preset.content_layers, *preset.style_layers), key=LAYERS.index)


def customize(preset: Preset, **overrides: Any) -> Preset:
    """A preset with some settings changed; overrides that are None are left out.

    New ``style_layers`` (or content layers) without weights share the preset's total
    weight equally.

    Returns:
      A checked preset whose ``learning_rate`` is a number.

    Raises:
      InputError: a setting that no run could use, or an unknown one.
    """
    overrides = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in overrides.items()
        if value is not None
    }
    known = setting_types()
    for name in overrides:
        if name not in known:
            raise InputError(
                f"unknown setting {name!r}: known are {', '.join(sorted(known))}"
            )
    for kind in ("content", "style"):
        layers, weights = f"{kind}_layers", f"{kind}_layer_weights"
        if layers in overrides:
            overrides[layers] = tuple(overrides[layers])
            count = len(overrides[layers])
            total = math.fsum(getattr(preset, weights))
            if overrides[layers] != getattr(preset, layers):
                overrides.setdefault(weights, (total / max(count, 1),) * count)
    if (
        "noise_ratio" in overrides
        and overrides.get("init", preset.image.init) != "blend"
    ):
        raise InputError("noise_ratio needs init=blend: there it is the share of noise")
    style_loss = overrides.get("style_loss", preset.loss.style.style_loss)
    optimizer = overrides.get("optimizer", preset.optimizer.name)
    if optimizer not in OPTIMIZERS:
        raise InputError(
            f"unknown optimizer {optimizer!r}: known are {', '.join(OPTIMIZERS)}"
        )
    if style_statistic(style_loss).sampled and OPTIMIZERS[optimizer].curvature:
        if "optimizer" in overrides:
            raise InputError(
                f"style_loss={style_loss} draws other samples at every step, which "
                "L-BFGS cannot use: choose optimizer=adam"
            )
        overrides["optimizer"] = "adam"
    # Gradients that never grow small are no function's: L-BFGS may diverge on them.
    if overrides.get("normalize_gradients") and OPTIMIZERS[optimizer].curvature:
        overrides.setdefault("optimizer", "adam")
    if "optimizer" in overrides:
        overrides.setdefault("learning_rate", None)
    result = with_settings(preset, **overrides)
    result = dataclasses.replace(result, learning_rate=learning_rate_of(result))
    _check(result)
    return result


def learning_rate_of(preset: Preset) -> float:
    """The preset's learning rate, or that of its optimizer."""
    if preset.learning_rate is not None:
        return preset.learning_rate
    rate = OPTIMIZERS[preset.optimizer.name].rate
    return preset.adam_learning_rate if rate is None else rate


def _check(preset: Preset) -> None:
    settings = settings_of(preset)
    for name, value in settings.items():
        choices = setting_choices(name)
        if choices and value not in choices:
            raise InputError(
                f"{name} must be one of {', '.join(choices)}, got {value!r}"
            )
    for name, (low, high) in LIMITS.items():
        kind, values = setting_types()[name], settings[name]
        whole = kind in (int, tuple[int, ...])
        if get_origin(kind) is not tuple:
            values = (values,)
        elif not isinstance(values, tuple):
            raise InputError(f"{name} must be a tuple of numbers, got {values!r}")
        for value in values:
            is_number = isinstance(value, int if whole else SupportsFloat)
            if is_number and low <= value <= high:
                continue
            span = f"lie in {low}..{high}{', a whole number' if whole else ''}"
            if high == LARGEST_NUMBER:
                span = "be a finite number of 0 or more (in float32)"
            raise InputError(f"{name} must {span}, got {value!r}")
    for kind in ("content", "style"):
        layers, weights = settings[f"{kind}_layers"], settings[f"{kind}_layer_weights"]
        if len(weights) != len(layers):
            raise InputError(
                f"{kind}_layer_weights has {len(weights)} values for {len(layers)} "
                f"{kind} layers ({','.join(layers)}): give one for each"
            )
    for name in settings:
        if name.endswith("_layers") or name == "fine_layers_refined":
            check_layers(settings[name])
    if not preset.alpha and not preset.beta:
        raise InputError("alpha and beta are both 0: nothing would be optimized")
    if not preset.learning_rate:
        raise InputError("learning_rate is 0: the image would never change")
    if not preset.pyramid.steps:
        raise InputError("pyramid_steps is empty: give one number or more")
    if len(preset.optimizer.adam_betas) != 2:
        raise InputError(
            f"adam_betas must be two numbers, got {preset.optimizer.adam_betas}"
        )
