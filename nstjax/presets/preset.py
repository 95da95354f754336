"""One run's settings: everything that decides the picture, as plain data."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nstjax.errors import InputError
from nstjax.images.options import ColorMatch, ColorSpace, LuminanceMatch
from nstjax.images.resizing import Rule, Size
from nstjax.losses.total import ContentNormalization
from nstjax.losses.total_variation import TotalVariationForm
from nstjax.network.convolution import Precision
from nstjax.network.guides import GuideMode
from nstjax.network.vgg import LAYERS, ImagePadding, Pool, PoolPadding, check_layers
from nstjax.optimization.optimizers import ADAM_BETAS, NUM_CORRECTION, OPTIMIZERS
from nstjax.statistics.gram import GramNormalization
from nstjax.statistics.gram_loss import StyleNormalization
from nstjax.statistics.style_losses import SAMPLED, StyleLoss

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """One published program's settings, or a run's.

    Attributes:
      source: the paper or program.
      pool: "avg" or "max".
      pool_padding: "valid" or "same".
      image_padding: "zero" or "replicate", see ``nstjax.features``.
      precision: "float32" or "mixed", see ``nstjax.network.convolution``.
      content_layers: where the photo's activations are matched.
      content_layer_weights: w_l of each.
      style_layers: where the paintings' statistics are matched.
      style_layer_weights: w_l of each.
      content_normalization: see ``nstjax.content_loss``.
      style_loss: see ``nstjax.statistics.style_losses``.
      gram_normalization: see ``nstjax.gram_matrix``.
      style_normalization: see ``nstjax.style_loss``.
      tv_form: see ``nstjax.losses.total_variation``.
      normalize_gradients: see ``nstjax.losses.gradient_normalization``.
      alpha: weight of the content loss.
      beta: weight of the style loss.
      tv: weight of the total variation.
      init: "content", "noise", "blend" (of noise and content), "style", or the path of
        an image.
      noise: distribution of the noise, in the network's units (0..255 minus the mean).
      noise_scale: its standard deviation (normal) or half range (uniform, integers).
      noise_ratio: share of noise in "blend"; the rest is the photo.
      optimizer: a name of ``nstjax.optimization.optimizers.OPTIMIZERS``.
      learning_rate: of that optimizer; None means the program's own for it.
      learning_rates: the program's learning rate for each optimizer.
      lbfgs_num_correction: how many pairs of past steps and gradients L-BFGS keeps.
      adam_betas: Adam's β₁ and β₂.
      steps: how many updates, at the first scale of a pyramid.
      clamp: whether each update is followed by a cut to the displayable range.
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
      color_match: of "match", likewise.
      luminance_match: what of the paintings' luminance is matched to the photo's.
      guide_mode: from masks to guides, see ``nstjax.network.guides``.
      guide_dilation: positions that guides are dilated by (eroded if negative).
      pyramid: coarse to fine: "none", the factor between sizes ("sqrt2" or "2"), or
        "auto", which is "2" for sizes over 512 and else "none".
      pyramid_min_size: least long side of a pyramid's scales.
      pyramid_steps: updates of the scales after the first; the last number repeats.
      pyramid_moments: whether Adam's moments are resampled or reset between scales.
      fine_layers: style layers that a fine style gives (Gatys 2017, 3.3).
      fine_layers_refined: the same at the pyramid's scales after the first.
      average_decay: decay of the moving average of the images, for keep="average".
      keep: "last" image, "best" (of lowest loss) or moving "average".
      resize_to_content: whether the result is resized back to the photo's own size.
      montage: whether the command also writes content | result | style.
    """

    source: str
    pool: Pool = "max"
    pool_padding: PoolPadding = "valid"
    image_padding: ImagePadding = "zero"
    precision: Precision = "float32"
    content_layers: tuple[str, ...] = ("relu4_2",)
    content_layer_weights: tuple[float, ...] = (1.0,)
    style_layers: tuple[str, ...] = RELU_STYLE_LAYERS
    style_layer_weights: tuple[float, ...] = (1.0,) * 5
    content_normalization: ContentNormalization = "mean"
    style_loss: StyleLoss = "gram"
    gram_normalization: GramNormalization = "hw"
    style_normalization: StyleNormalization = "mean"
    tv_form: TotalVariationForm = "squared"
    normalize_gradients: bool = False
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
    adam_betas: tuple[float, float] = ADAM_BETAS
    steps: int = 500
    clamp: bool = False
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
    pyramid: PyramidKind = "auto"
    # So that the first scale has 257 to 512 pixels: the presets were made for 512.
    pyramid_min_size: int = 257
    pyramid_steps: tuple[int, ...] = (200,)
    pyramid_moments: PyramidMoments = "resample"
    fine_layers: tuple[str, ...] = RELU_STYLE_LAYERS[:2]
    fine_layers_refined: tuple[str, ...] = RELU_STYLE_LAYERS[:4]
    average_decay: float = 0.99
    keep: Literal["last", "best", "average"] = "last"
    resize_to_content: bool = False
    montage: bool = False


def default_size_rule(preset: Preset) -> Rule:
    """What a number alone means as a size: the preset's own rule, or the long side."""
    return "long" if preset.size.rule in ("exact", "original") else preset.size.rule


def loss_structure(preset: Preset) -> dict[str, Any]:
    """The keyword arguments that make ``nstjax.total_loss`` the preset's."""
    names = (
        "pool",
        "pool_padding",
        "image_padding",
        "precision",
        "content_normalization",
        "style_loss",
        "gram_normalization",
        "style_normalization",
        "tv_form",
        "normalize_gradients",
    )
    return {name: getattr(preset, name) for name in names}


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
    style_loss = overrides.get("style_loss", preset.style_loss)
    if style_loss in SAMPLED and "lbfgs" in overrides.get(
        "optimizer", preset.optimizer
    ):
        if "optimizer" in overrides:
            raise InputError(
                f"style_loss={style_loss} draws other samples at every step, which "
                "L-BFGS cannot use: choose optimizer=adam"
            )
        overrides["optimizer"] = "adam"
    # Gradients that never grow small are no function's: L-BFGS may diverge on them.
    if overrides.get("normalize_gradients") and "lbfgs" in preset.optimizer:
        overrides.setdefault("optimizer", "adam")
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
    if not preset.pyramid_steps:
        raise InputError("pyramid_steps is empty: give one number or more")
    for name, count in (
        ("steps", preset.steps),
        *(("pyramid_steps", count) for count in preset.pyramid_steps),
        ("pyramid_min_size", preset.pyramid_min_size),
    ):
        if not isinstance(count, int) or count < 1:
            raise InputError(f"{name} must be 1 or more, a whole number, got {count}")
        if count > MOST_STEPS:
            raise InputError(f"{name} must be at most {MOST_STEPS}, got {count}")
    if not isinstance(preset.guide_dilation, int) or abs(preset.guide_dilation) > 100:
        raise InputError(
            "guide_dilation must lie in -100..100, a whole number, got "
            f"{preset.guide_dilation}"
        )
    if not 0.05 <= preset.style_scale <= 20:
        raise InputError(f"style_scale must lie in 0.05..20, got {preset.style_scale}")
    if len(preset.adam_betas) != 2:
        raise InputError(f"adam_betas must be two numbers, got {preset.adam_betas}")
    for name, share in (
        ("average_decay", preset.average_decay),
        *(("adam_betas", beta) for beta in preset.adam_betas),
    ):
        if not 0 <= share < 1:
            raise InputError(f"{name} must lie in 0..1 and be less than 1, got {share}")
    for name in ("fine_layers", "fine_layers_refined"):
        check_layers(getattr(preset, name))


def _check_number(name: str, value: float | None) -> None:
    if value is None or not 0 <= value <= LARGEST_NUMBER:
        raise InputError(
            f"{name} must be a finite number of 0 or more (in float32), got {value}"
        )
