"""The network as a table and as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nstjax.network.architecture import LayerSummary

COLORS = {"conv": "#3b6ea5", "pool": "#d98c2b"}
INCHES_PER_BOX = 0.62
LEGEND = "height, width and channels of the output; red: the layers that the loss reads"


def table_text(rows: Sequence[LayerSummary]) -> str:
    """A table of layer, output shape, parameters and receptive field of each row."""
    lines = [
        f"{'layer':<9}{'output shape':<18}{'parameters':>11}{'receptive field':>17}"
    ]
    for row in rows:
        shape = f"({', '.join(map(str, row.shape))})"
        lines.append(
            f"{row.name:<9}{shape:<18}{row.parameters:>11,}{row.receptive_field:>17}"
        )
    total = sum(row.parameters for row in rows)
    lines.append(f"{'total':<9}{'':<18}{total:>11,}")
    return "\n".join(lines)


def draw(rows: Sequence[LayerSummary], marked: Sequence[str] = ()) -> np.ndarray:
    """The network as a picture: one box per convolution (with its ReLU) and pooling.

    A box's height follows the activation's height (on a logarithmic scale) and its
    width the number of channels; the layers that a preset uses are named in bold red.

    Args:
      rows: from ``nstjax.summarize``.
      marked: names of layers to point out.

    Returns:
      sRGB in 0..1, float32, shape [height, width, 3].
    """
    boxes = [row for row in rows if not row.name.startswith("relu")]
    figure = Figure(figsize=(INCHES_PER_BOX * len(boxes) + 0.6, 4.4), dpi=110)
    axes = figure.add_axes((0.01, 0.0, 0.98, 1.0))
    tallest = np.log2(max(row.shape[0] for row in boxes) + 1)
    widest = max(row.shape[2] for row in boxes)
    small: dict[str, Any] = {"fontsize": 7, "color": "#444444"}
    x = 0.0
    for row in boxes:
        height = 2.6 * np.log2(row.shape[0] + 1) / tallest
        width = 0.16 + 0.44 * row.shape[2] / widest
        corner = (x + (0.8 - width) / 2, -height / 2)
        box = Rectangle(corner, width, height, linewidth=0.6, edgecolor="black")
        box.set_facecolor(COLORS[row.name[:4]])
        axes.add_patch(box)
        relu = row.name.replace("conv", "relu")
        used = [name for name in (row.name, relu) if name in marked]
        axes.text(
            x + 0.4,
            height / 2 + 0.08,
            used[0] if used else row.name,
            rotation=60,
            ha="left",
            va="bottom",
            fontsize=9,
            color="#b3201b" if used else "black",
            fontweight="bold" if used else "normal",
        )
        shape = "\n".join(map(str, row.shape))
        axes.text(x + 0.4, -1.45, shape, ha="center", va="top", **small)
        x += 0.8
    axes.text(0.0, -2.05, LEGEND, **small)
    axes.set_xlim(-0.3, x + 0.5)
    axes.set_ylim(-2.1, 2.35)
    axes.axis("off")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(np.float32) / 255
