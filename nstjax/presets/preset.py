"""One run's settings: everything that decides the picture, as plain data.

They are nested by what they are about. By their own names, which differ, they are one
flat record: the flags of the commands, the keywords of ``customize``, and what
config.json holds.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nstjax.errors import InputError
from nstjax.images.options import ColorMatch, ColorSpace, LuminanceMatch
from nstjax.images.resizing import Rule, Size
from nstjax.losses.total import LossOptions
from nstjax.network.architecture import LAYERS, check_layers
from nstjax.network.guides import GuideMode
from nstjax.network.vgg import NetworkOptions
from nstjax.optimization.optimizers import OPTIMIZERS, OptimizerOptions
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import style_statistic
from nstjax.statistics.table import STATISTICS

RELU_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

Noise = Literal["normal", "uniform", "integers"]
Color = Literal["style", "luminance", "match"]
When = Literal["before", "after"]
Resample = Literal["lanczos", "bicubic", "bilinear"]
PyramidKind = Literal["auto", "none", "sqrt2", "2"]
PyramidMoments = Literal["resample", "reset"]
LARGEST_NUMBER = 3.4e38  # of float32
# An int32 counts them, over all scales of a pyramid.
MOST_STEPS = 10**8
MOST_CORRECTIONS = 1000  # a pair needs the memory of two images
LONG_512 = Size("long", 512)
INITS = ("content", "noise", "blend", "style")


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """What the pictures are made into, where the image starts, what becomes of it.

    Attributes:
      init: "content", "noise", "blend" (of noise and content), "style", or the path of
        an image.
      noise: distribution of the noise, in the network's units (0..255 minus the mean).
      noise_scale: its standard deviation (normal) or half range (uniform, integers).
      noise_ratio: share of noise in "blend"; the rest is the photo.
      size: size rule of the photo.
      style_size: size rule of the paintings; None gives them the photo's rule (the
        same long side where that is exact), "content" exactly the photo's size,
        "content_width" its width.
      style_scale: what that size is multiplied by.
      style_upscale: whether a painting may be made larger than it is.
      resample: filter of the resizing.
      contrast_stretch: whether each input is stretched to fill 0..1.
      color: whose colors: "style" (the painting's), "luminance" (the photo's, only
        luminance is transferred) or "match" (colors matched to the photo's).
      color_when: whether color is seen to "before" the transfer, in the paintings, or
        "after" it, in the result.
      color_space: of "luminance", see ``nstjax.images.color``.
      color_match: of "match", see there.
      luminance_match: what of the paintings' luminance is matched to the photo's.
      guide_mode: from masks to guides, see ``nstjax.network.guides``.
      guide_dilation: positions that guides are dilated by (eroded if negative).
      fine_layers: style layers that a fine style gives (Gatys 2017, 3.3).
      fine_layers_refined: the same at the pyramid's scales after the first.
      resize_to_content: whether the result is resized back to the photo's own size.
      montage: whether the command also writes content | result | style.
    """

    init: str = "content"
    noise: Noise = "normal"
    noise_scale: float = 1.0
    noise_ratio: float = 0.5
    size: Size = LONG_512
    style_size: Size | Literal["content", "content_width"] | None = None
    style_scale: float = 1.0
    style_upscale: bool = True
    resample: Resample = "lanczos"
    contrast_stretch: bool = False
    color: Color = "style"
    color_when: When = "before"
    color_space: ColorSpace = "yiq"
    color_match: ColorMatch = "pca"
    luminance_match: LuminanceMatch = "mean_std"
    guide_mode: GuideMode = "simple"
    guide_dilation: int = 0
    fine_layers: tuple[str, ...] = RELU_STYLE_LAYERS[:2]
    fine_layers_refined: tuple[str, ...] = RELU_STYLE_LAYERS[:4]
    resize_to_content: bool = False
    montage: bool = False


@dataclasses.dataclass(frozen=True)
class PyramidOptions:
    """Coarse to fine; as settings, ``pyramid``, ``pyramid_min_size``, ….

    Attributes:
      kind: "none", the factor between sizes ("sqrt2" or "2"), or "auto", which is "2"
        for sizes over 512 and else "none".
      min_size: least long side of the scales.
      steps: updates of the scales after the first; the last number repeats.
      moments: whether Adam's moments are resampled or reset between scales.
    """

    kind: PyramidKind = dataclasses.field(
        default="auto", metadata={"setting": "pyramid"}
    )
    # So that the first scale has 257 to 512 pixels: the presets were made for 512.
    min_size: int = dataclasses.field(
        default=257, metadata={"setting": "pyramid_min_size"}
    )
    steps: tuple[int, ...] = dataclasses.field(
        default=(200,), metadata={"setting": "pyramid_steps"}
    )
    moments: PyramidMoments = dataclasses.field(
        default="resample", metadata={"setting": "pyramid_moments"}
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """One published program's settings, or a run's.

    Attributes:
      source: the paper or program.
      loss: what is compared, and how the network is computed.
      optimizer: what updates the image.
      image: how the pictures go in and come out.
      pyramid: coarse to fine.
      content_layers: where the photo's activations are matched.
      content_layer_weights: w_l of each.
      style_layers: where the paintings' statistics are matched.
      style_layer_weights: w_l of each.
      alpha: weight of the content loss.
      beta: weight of the style loss.
      tv: weight of the total variation.
      learning_rate: of the optimizer; None: 1 with L-BFGS, ``adam_learning_rate`` with
        Adam.
      adam_learning_rate: the program's own.
      steps: how many updates, at the first scale of a pyramid.
    """

    source: str
    loss: LossOptions = LossOptions(
        NetworkOptions(pool="max"), StyleForm(style_normalization="mean"), "mean"
    )
    optimizer: OptimizerOptions = OptimizerOptions()
    image: ImageOptions = ImageOptions()
    pyramid: PyramidOptions = PyramidOptions()
    content_layers: tuple[str, ...] = ("relu4_2",)
    content_layer_weights: tuple[float, ...] = (1.0,)
    style_layers: tuple[str, ...] = RELU_STYLE_LAYERS
    style_layer_weights: tuple[float, ...] = (1.0,) * 5
    alpha: float = 1.0
    beta: float = 1.0
    tv: float = 0.0
    learning_rate: float | None = None
    adam_learning_rate: float = 2.0
    steps: int = 500

    @property
    def network(self) -> NetworkOptions:
        """How the network is computed."""
        return self.loss.network


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
    if style_statistic(style_loss).sampled and "lbfgs" in optimizer:
        if "optimizer" in overrides:
            raise InputError(
                f"style_loss={style_loss} draws other samples at every step, which "
                "L-BFGS cannot use: choose optimizer=adam"
            )
        overrides["optimizer"] = "adam"
    # Gradients that never grow small are no function's: L-BFGS may diverge on them.
    if overrides.get("normalize_gradients") and "lbfgs" in preset.optimizer.name:
        overrides.setdefault("optimizer", "adam")
    if "optimizer" in overrides:
        overrides.setdefault("learning_rate", None)
    result = with_settings(preset, **overrides)
    if result.optimizer.name not in OPTIMIZERS:
        raise InputError(
            f"unknown optimizer {result.optimizer.name!r}: known are "
            f"{', '.join(OPTIMIZERS)}"
        )
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
    for kind in ("content", "style"):
        layers, weights = settings[f"{kind}_layers"], settings[f"{kind}_layer_weights"]
        check_layers(layers)
        if len(weights) != len(layers):
            raise InputError(
                f"{kind}_layer_weights has {len(weights)} values for {len(layers)} "
                f"{kind} layers ({','.join(layers)}): give one for each"
            )
        for weight in weights:
            _check_number(f"{kind}_layer_weights", weight)
    for name in ("alpha", "beta", "tv", "noise_scale"):
        _check_number(name, settings[name])
    if not preset.alpha and not preset.beta:
        raise InputError("alpha and beta are both 0: nothing would be optimized")
    _check_number("learning_rate", preset.learning_rate)
    if not preset.learning_rate:
        raise InputError("learning_rate is 0: the image would never change")
    if not 0 <= preset.image.noise_ratio <= 1:
        raise InputError(
            f"noise_ratio must lie in 0..1, got {preset.image.noise_ratio}"
        )
    corrections = preset.optimizer.lbfgs_num_correction
    if not isinstance(corrections, int) or not 1 <= corrections <= MOST_CORRECTIONS:
        raise InputError(
            f"lbfgs_num_correction must lie in 1..{MOST_CORRECTIONS}, a whole number, "
            f"got {corrections}"
        )
    if not preset.pyramid.steps:
        raise InputError("pyramid_steps is empty: give one number or more")
    for name, count in (
        ("steps", preset.steps),
        *(("pyramid_steps", count) for count in preset.pyramid.steps),
        ("pyramid_min_size", preset.pyramid.min_size),
    ):
        if not isinstance(count, int) or count < 1:
            raise InputError(f"{name} must be 1 or more, a whole number, got {count}")
        if count > MOST_STEPS:
            raise InputError(f"{name} must be at most {MOST_STEPS}, got {count}")
    if (
        not isinstance(preset.image.guide_dilation, int)
        or abs(preset.image.guide_dilation) > 100
    ):
        raise InputError(
            "guide_dilation must lie in -100..100, a whole number, got "
            f"{preset.image.guide_dilation}"
        )
    if not 0.05 <= preset.image.style_scale <= 20:
        raise InputError(
            f"style_scale must lie in 0.05..20, got {preset.image.style_scale}"
        )
    if len(preset.optimizer.adam_betas) != 2:
        raise InputError(
            f"adam_betas must be two numbers, got {preset.optimizer.adam_betas}"
        )
    for name, share in (
        ("average_decay", preset.optimizer.average_decay),
        *(("adam_betas", beta) for beta in preset.optimizer.adam_betas),
    ):
        if not 0 <= share < 1:
            raise InputError(f"{name} must lie in 0..1 and be less than 1, got {share}")
    for name in ("fine_layers", "fine_layers_refined"):
        check_layers(settings[name])


def _check_number(name: str, value: float | None) -> None:
    if value is None or not 0 <= value <= LARGEST_NUMBER:
        raise InputError(
            f"{name} must be a finite number of 0 or more (in float32), got {value}"
        )
