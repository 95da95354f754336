"""The published settings by name, as plain data.

A preset fixes everything that decides the picture. ``docs/presets.md`` tells where each
number comes from and which quirks of the published code are, or are not, reproduced.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nstjax.errors import InputError
from nstjax.losses import (
    ContentNormalization,
    StyleNormalization,
    TotalVariationForm,
)
from nstjax.optimizers import NUM_CORRECTION, OPTIMIZERS
from nstjax.sizes import Rule, Size
from nstjax.statistics import GramNormalization
from nstjax.vgg import Pool, PoolPadding, check_layers

RELU_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONV_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")

Noise = Literal["normal", "uniform", "integers"]
Resample = Literal["lanczos", "bicubic", "bilinear"]
LARGEST_NUMBER = 3.4e38  # of float32
MOST_CORRECTIONS = 1000  # a pair needs the memory of two images
LONG_512 = Size("long", 512)
INITS = ("content", "noise", "blend", "style")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """One published program's settings.

    Attributes:
      source: the paper or program.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      content_layers: where the photo's activations are matched.
      content_layer_weights: w_l of each.
      style_layers: where the painting's Gram matrices are matched.
      style_layer_weights: w_l of each.
      content_normalization: see ``nstjax.losses.content_loss``.
      gram_normalization: see ``nstjax.statistics.gram_matrix``.
      style_normalization: see ``nstjax.losses.style_loss``.
      tv_form: see ``nstjax.losses.total_variation``.
      alpha: weight of the content loss.
      beta: weight of the style loss.
      tv: weight of the total variation.
      init: "content", "noise", "blend" (of noise and content), "style", or the path of
        an image.
      noise: distribution of the noise, in the network's units (0..255 minus the mean).
      noise_scale: its standard deviation (normal) or half range (uniform, integers).
      noise_ratio: share of noise in "blend"; the rest is the photo.
      optimizer: a name of ``nstjax.optimizers.OPTIMIZERS``.
      learning_rate: of that optimizer; None means the program's own for it.
      learning_rates: the program's learning rate for each optimizer.
      lbfgs_num_correction: how many pairs of past steps and gradients L-BFGS keeps.
      steps: how many updates.
      clamp: whether each update is followed by a cut to the displayable range.
      size: size rule of the photo.
      style_size: size rule of the paintings; None gives them the photo's rule (the
        same long side where that is exact), "content" exactly the photo's size,
        "content_width" its width.
      resample: filter of the resizing.
      contrast_stretch: whether each input is stretched to fill 0..1.
      keep: "last" image or "best" (of lowest loss).
      resize_to_content: whether the result is resized back to the photo's own size.
      montage: whether the command also writes content | result | style.
    """

    source: str
    pool: Pool = "max"
    pool_padding: PoolPadding = "valid"
    content_layers: tuple[str, ...] = ("relu4_2",)
    content_layer_weights: tuple[float, ...] = (1.0,)
    style_layers: tuple[str, ...] = RELU_STYLE_LAYERS
    style_layer_weights: tuple[float, ...] = (1.0,) * 5
    content_normalization: ContentNormalization = "mean"
    gram_normalization: GramNormalization = "hw"
    style_normalization: StyleNormalization = "mean"
    tv_form: TotalVariationForm = "squared"
    alpha: float
    beta: float
    tv: float = 0.0
    init: str = "content"
    noise: Noise = "normal"
    noise_scale: float = 1.0
    noise_ratio: float = 0.5
    optimizer: str = "lbfgs"
    learning_rate: float | None = None
    learning_rates: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"adam": 2.0, "lbfgs": 1.0, "lbfgs-linesearch": 1.0}
    )
    lbfgs_num_correction: int = NUM_CORRECTION
    steps: int = 500
    clamp: bool = False
    size: Size = LONG_512
    style_size: Size | Literal["content", "content_width"] | None = None
    resample: Resample = "lanczos"
    contrast_stretch: bool = False
    keep: Literal["last", "best"] = "last"
    resize_to_content: bool = False
    montage: bool = False


PRESETS: dict[str, Preset] = {
    "gatys2016": Preset(
        source="Gatys, Ecker and Bethge, CVPR 2016",
        pool="avg",
        content_normalization="half_sum",
        style_normalization="quarter_mean",
        style_layer_weights=(0.2,) * 5,
        alpha=1e-5,
        beta=1.0,
    ),
    "gatys-code": Preset(
        source="leongatys/PytorchNeuralStyleTransfer",
        style_normalization="mean_per_c2",
        alpha=1.0,
        beta=1e3,
        size=Size("short", 512),
    ),
    "johnson2015": Preset(
        source="jcjohnson/neural-style",
        pool_padding="same",
        gram_normalization="chw",
        alpha=5.0,
        beta=100.0,
        tv=1e-3,
        init="noise",
        noise_scale=1e-3,
        learning_rates={"adam": 10.0, "lbfgs": 1.0, "lbfgs-linesearch": 1.0},
        steps=1000,
    ),
    "neural-style-pt": Preset(
        source="ProGamerGov/neural-style-pt",
        gram_normalization="chw",
        tv_form="l1",
        alpha=5.0,
        beta=100.0,
        tv=1e-3,
        init="noise",
        noise_scale=1e-3,
        learning_rates={"adam": 1.0, "lbfgs": 1.0, "lbfgs-linesearch": 1.0},
        steps=1000,
    ),
    "athalye": Preset(
        source="anishathalye/neural-style",
        pool_padding="same",
        gram_normalization="chw",
        style_layer_weights=(0.2,) * 5,
        tv_form="mean_squared",
        alpha=5.0,
        beta=500.0,
        tv=100.0,
        init="noise",
        noise_scale=0.256,
        optimizer="adam",
        learning_rates={"adam": 10.0, "lbfgs": 1.0, "lbfgs-linesearch": 1.0},
        steps=1000,
        size=Size("width", 512),
        style_size="content_width",
    ),
    "coursera": Preset(
        source="Coursera course 'Convolutional Neural Networks', style transfer",
        pool="avg",
        pool_padding="same",
        content_normalization="quarter_mean",
        gram_normalization="none",
        style_normalization="quarter_mean_per_hw2",
        style_layer_weights=(0.2,) * 5,
        alpha=10.0,
        beta=40.0,
        init="blend",
        noise="uniform",
        noise_scale=20.0,
        noise_ratio=0.6,
        optimizer="adam",
        steps=200,
        size=Size("exact", (300, 400)),
        style_size="content",
    ),
    "matlab": Preset(
        source="MATLAB Deep Learning Toolbox example, neural style transfer",
        pool="avg",
        content_layers=("conv4_2",),
        style_layers=CONV_STYLE_LAYERS,
        style_layer_weights=(0.5, 1.0, 1.5, 3.0, 4.0),
        content_normalization="half_mean",
        gram_normalization="none",
        style_normalization="mean_per_hwc2",
        alpha=1.0,
        beta=1e3,
        init="blend",
        noise="integers",
        noise_scale=20.0,
        noise_ratio=0.7,
        optimizer="adam",
        steps=2500,
        size=Size("exact", (384, 512)),
        style_size="content",
        resample="bicubic",
        contrast_stretch=True,
        keep="best",
        resize_to_content=True,
        montage=True,
    ),
}
DEFAULT_PRESET = "gatys2016"


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
      InputError: unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}: known are {', '.join(PRESETS)}")
    return PRESETS[name]


def default_size_rule(preset: Preset) -> Rule:
    """What a number alone means as a size: the preset's own rule, or the long side."""
    return "long" if preset.size.rule in ("exact", "original") else preset.size.rule


def customize(preset: Preset, **overrides: Any) -> Preset:
    """A preset with some settings changed; overrides that are None are left out.

    New ``style_layers`` (or content layers) without weights share the preset's total
    weight equally.

    Returns:
      A checked preset whose ``learning_rate`` is a number.

    Raises:
      InputError: a setting that no run could use, or an unknown one.
    """
    overrides = {name: value for name, value in overrides.items() if value is not None}
    known = {field.name for field in dataclasses.fields(Preset)}
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
    if "noise_ratio" in overrides and overrides.get("init", preset.init) != "blend":
        raise InputError("noise_ratio needs init=blend: there it is the share of noise")
    if "optimizer" in overrides:
        overrides.setdefault("learning_rate", None)
    result = dataclasses.replace(preset, **overrides)
    if result.optimizer not in OPTIMIZERS:
        raise InputError(
            f"unknown optimizer {result.optimizer!r}: known are {', '.join(OPTIMIZERS)}"
        )
    if result.learning_rate is None:
        rate = result.learning_rates[result.optimizer]
        result = dataclasses.replace(result, learning_rate=rate)
    _check(result)
    return result


def _check(preset: Preset) -> None:
    for name, hint in get_type_hints(Preset).items():
        value = getattr(preset, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise InputError(
                f"{name} must be one of {', '.join(get_args(hint))}, got {value!r}"
            )
    for kind in ("content", "style"):
        layers = getattr(preset, f"{kind}_layers")
        weights = getattr(preset, f"{kind}_layer_weights")
        check_layers(layers)
        if len(weights) != len(layers):
            raise InputError(
                f"{kind}_layer_weights has {len(weights)} values for {len(layers)} "
                f"{kind} layers ({','.join(layers)}): give one for each"
            )
        for weight in weights:
            _check_number(f"{kind}_layer_weights", weight)
    for name in ("alpha", "beta", "tv", "noise_scale"):
        _check_number(name, getattr(preset, name))
    if not preset.alpha and not preset.beta:
        raise InputError("alpha and beta are both 0: nothing would be optimized")
    _check_number("learning_rate", preset.learning_rate)
    if not preset.learning_rate:
        raise InputError("learning_rate is 0: the image would never change")
    if not 0 <= preset.noise_ratio <= 1:
        raise InputError(f"noise_ratio must lie in 0..1, got {preset.noise_ratio}")
    corrections = preset.lbfgs_num_correction
    if not isinstance(corrections, int) or not 1 <= corrections <= MOST_CORRECTIONS:
        raise InputError(
            f"lbfgs_num_correction must lie in 1..{MOST_CORRECTIONS}, a whole number, "
            f"got {corrections}"
        )
    if not isinstance(preset.steps, int) or preset.steps < 1:
        raise InputError(f"steps must be 1 or more, a whole number, got {preset.steps}")


def _check_number(name: str, value: float | None) -> None:
    if value is None or not 0 <= value <= LARGEST_NUMBER:
        raise InputError(
            f"{name} must be a finite number of 0 or more (in float32), got {value}"
        )
