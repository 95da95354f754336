"""What Gram matrices and their distances are divided by, in every published form."""

import dataclasses
from typing import Literal, NamedTuple

GramNormalization = Literal["none", "hw", "chw"]
StyleNormalization = Literal[
    "mean",
    "quarter_mean",
    "mean_per_c2",
    "quarter_mean_per_hw2",
    "mean_per_hwc2",
    "scaled",
    "unscaled",
    "relative",
]


class LayerSize(NamedTuple):
    """How large a layer is.

    Attributes:
      positions: M, height·width.
      channels: N that the formulas count: VGG's, which a narrower network stands for.
    """

    positions: int
    channels: int


@dataclasses.dataclass(frozen=True)
class StyleForm:
    """Which style loss is meant, and how it is normalized: structure, not numbers.

    Attributes:
      style_loss: a name of ``nstjax.statistics.table.STATISTICS``.
      gram_normalization: see ``nstjax.gram_matrix``.
      style_normalization: see ``nstjax.style_loss``.
    """

    style_loss: str = "gram"
    gram_normalization: GramNormalization = "hw"
    style_normalization: StyleNormalization = "quarter_mean"


def gram_divisor(normalization: GramNormalization, layer: LayerSize) -> int:
    """Z of ``nstjax.gram_matrix``."""
    positions, channels = layer
    return {"none": 1, "hw": positions, "chw": channels * positions}[normalization]


def style_factor(normalization: StyleNormalization, layer: LayerSize) -> float:
    """What ``nstjax.style_loss`` multiplies the mean of (G - A)² by."""
    positions, channels = layer
    return {
        "mean": 1.0,
        "unscaled": 1.0,
        "quarter_mean": 0.25,
        "mean_per_c2": channels**-2.0,
        "quarter_mean_per_hw2": 0.25 * positions**-2.0,
        "mean_per_hwc2": (positions * channels) ** -2.0,
    }[normalization]
