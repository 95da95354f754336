"""One run's settings: everything that decides the picture, as plain data.

They are nested by what they are about. By their own names, which differ, they are one
flat record: the flags of the commands, the keywords of ``customize``, and what
config.json holds.
"""

import dataclasses
from typing import Literal

from nstjax.images.options import ColorMatch, ColorSpace, LuminanceMatch
from nstjax.images.resizing import Size
from nstjax.losses.total import LossOptions
from nstjax.network.guides import GuideMode
from nstjax.network.vgg import NetworkOptions
from nstjax.optimization.optimizers import OptimizerOptions
from nstjax.statistics.normalization import StyleForm

RELU_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

Noise = Literal["normal", "uniform", "integers"]
Color = Literal["style", "luminance", "match"]
When = Literal["before", "after"]
Resample = Literal["lanczos", "bicubic", "bilinear"]
PyramidKind = Literal["auto", "none", "sqrt2", "2"]
PyramidMoments = Literal["resample", "reset"]
LONG_512 = Size("long", 512)
INITS = ("content", "noise", "blend", "style", "fast")


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """What the pictures are made into, where the image starts, what becomes of it.

    Attributes:
      init: "content", "noise", "blend" (of noise and content), "style", "fast" (what
        nstjax-fast makes of the photo and the paintings), or the path of an image.
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
