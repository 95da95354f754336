"""The settings of a sweep: numbers that may differ between its runs.

All other settings decide the program's structure, which is compiled once.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from nstjax.errors import InputError
from nstjax.presets.preset import Preset, customize, settings_of
from nstjax.problem.targets import Controls, check_weights

Setting = Mapping[str, float]  # of one run: {name: value}

SCALARS = ("alpha", "beta", "tv", "learning_rate")
BLEND_WEIGHTS = "style_blend_weights"
MOST_SETTINGS = 100_000
LARGEST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Axis:
    """Settings that change together.

    Attributes:
      names: of the settings.
      rows: their values, a row after another.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The product of some axes, the last one fastest; made when it is asked for.

    Attributes:
      axes: no name on two of them.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        names = self.names
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name} is given twice: give each setting once")
        if not names or not self.count:
            raise InputError("the sweep has no settings: give one or more")
        if self.count > MOST_SETTINGS:
            raise InputError(
                f"the sweep has {self.count} settings, more than {MOST_SETTINGS}: "
                "choose fewer values"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that differ."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def count(self) -> int:
        """How many runs there are."""
        return math.prod(len(axis.rows) for axis in self.axes)

    def __getitem__(self, index: int) -> Setting:
        if not 0 <= index < self.count:
            raise IndexError(index)
        chosen = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis.rows))
            chosen.append(zip(axis.names, axis.rows[place], strict=True))
        return {name: value for pairs in reversed(chosen) for name, value in pairs}

    def __iter__(self) -> Iterator[Setting]:
        return (self[index] for index in range(self.count))


def grid(values: Mapping[str, Sequence[float]]) -> Settings:
    """Every combination of some values, the last setting fastest.

    Args:
      values: {name: values}.
    """
    return Settings(
        tuple(Axis((name,), tuple((x,) for x in row)) for name, row in values.items())
    )


def check_settings(
    settings: Settings, preset: Preset, styles: int, controls: Controls
) -> None:
    """Raise ``InputError`` unless a run could use every one of the settings.

    Args:
      settings: of the sweep.
      preset: what they change.
      styles: number of paintings.
      controls: whose blend weights they change.
    """
    known = known_names(preset, styles)
    known_settings = settings_of(preset)
    for name in settings.names:
        if name in known:
            continue
        members = [each for each in known if each.startswith(f"{name}.")]
        if members:
            raise InputError(
                f"{name} has several numbers: give one of {', '.join(members)}"
            )
        if name.startswith(BLEND_WEIGHTS):
            raise InputError(f"{name} needs more style images: {styles} given")
        if name == "noise_ratio":
            raise InputError("noise_ratio needs init=blend: there it is noise's share")
        if name in known_settings:
            raise InputError(
                f"{name} decides the program's structure: run one sweep for each {name}"
            )
        raise InputError(f"unknown setting {name!r}: a sweep knows {', '.join(known)}")
    for setting in settings:
        preset_with(setting, preset)
        seed_with(setting, 0)
        controls_with(setting, controls, styles)


def known_names(preset: Preset, styles: int) -> list[str]:
    """What may differ between the runs of a preset with that many paintings."""
    return [
        *SCALARS,
        "seed",
        *(["noise_ratio"] if preset.image.init == "blend" else []),
        *(f"content_layer_weights.{layer}" for layer in preset.content_layers),
        *(f"style_layer_weights.{layer}" for layer in preset.style_layers),
        *(f"{BLEND_WEIGHTS}.{i}" for i in range(1, styles + 1) if styles > 1),
    ]


def preset_with(setting: Setting, preset: Preset) -> Preset:
    """The preset of one run.

    Raises:
      InputError: see ``nstjax.customize``.
    """
    overrides: dict[str, float | tuple[float, ...]] = {
        name: setting[name] for name in (*SCALARS, "noise_ratio") if name in setting
    }
    for kind in ("content", "style"):
        layers = settings_of(preset)[f"{kind}_layers"]
        weights = settings_of(preset)[f"{kind}_layer_weights"]
        overrides[f"{kind}_layer_weights"] = tuple(
            setting.get(f"{kind}_layer_weights.{layer}", weight)
            for layer, weight in zip(layers, weights, strict=True)
        )
    return customize(preset, **overrides)


def seed_with(setting: Setting, seed: int) -> int:
    """The seed of one run: its own, or the one given.

    Raises:
      InputError: it is no whole number of 32 bits.
    """
    value = setting.get("seed", seed)
    if not 0 <= value <= LARGEST_SEED or value != int(value):
        raise InputError(
            f"seed must be a whole number in 0..{LARGEST_SEED}, got {value}"
        )
    return int(value)


def controls_with(setting: Setting, controls: Controls, styles: int) -> Controls:
    """The controls of one run, with its blend weights.

    Raises:
      InputError: see ``nstjax.problem.targets.check_weights``.
    """
    names = [f"{BLEND_WEIGHTS}.{number}" for number in range(1, styles + 1)]
    if not any(name in setting for name in names):
        return controls
    weights = controls.style_blend_weights or (1.0,) * styles
    weights = tuple(map(setting.get, names, weights))
    check_weights(BLEND_WEIGHTS, weights, styles, "style images")
    return dataclasses.replace(controls, style_blend_weights=weights)
