"""The pictures of a sweep on one sheet."""

import logging
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nstjax.analysis.sweeps.axes import (
    Grid,
    full_grid,
    in_lines,
    number_text,
    setting_text,
)
from nstjax.analysis.sweeps.file import Sweep
from nstjax.images.contact_sheet import contact_sheet
from nstjax.images.pixels import to_8_bit
from nstjax.images.resizing import Size, output_size, resize

LOGGER = logging.getLogger("nstjax")

MAX_PICTURES = 400
MIN_SIDE, MAX_SIDE = 128, 256


def sweep_sheet(
    sweep: Sweep, content: np.ndarray, styles: Sequence[np.ndarray]
) -> np.ndarray:
    """The pictures of a sweep with their settings, below the content and the styles.

    A full grid of two settings has their values on its margins, see
    ``nstjax.analysis.sweeps.axes.full_grid``; pictures of other sweeps follow one
    another, each over its settings. Those that diverged are grey.

    Args:
      sweep: of more than 400 settings, 400 evenly chosen are shown.
      content: sRGB in 0..1, [height, width, 3].
      styles: likewise.

    Returns:
      float32 [height, width, 3], 0..1.
    """
    _, height, width, _ = sweep.images.shape
    side = min(max(height, width, MIN_SIDE), MAX_SIDE)
    sources = [content, *styles]
    source_labels = ["content", *["style"] * len(styles)]
    count = len(sweep.status)
    grid = full_grid(sweep)
    if grid and count <= MAX_PICTURES:
        sheet = _grid_with_margins(sweep, grid, side)
        header = contact_sheet(sources, source_labels, len(sources), side)
        return _stacked(header, sheet)
    lanes = list(range(count))
    if count > MAX_PICTURES:
        lanes = np.linspace(0, count - 1, MAX_PICTURES).round().astype(int).tolist()
        LOGGER.info("the sheet shows %d of %d settings", MAX_PICTURES, count)
    labels = [
        "\n".join([setting_text(sweep, lane), *_failure(sweep, lane)]) for lane in lanes
    ]
    pictures = [_picture(sweep, lane) for lane in lanes]
    return contact_sheet(sources + pictures, source_labels + labels, cell=side)


def _picture(sweep: Sweep, lane: int) -> np.ndarray:
    picture = sweep.images[lane] / np.float32(255)
    if sweep.status[lane] != "done":
        grey = picture.mean(axis=2, keepdims=True)
        picture = np.repeat(0.65 + 0.25 * grey, 3, axis=2)
    return picture


def _failure(sweep: Sweep, lane: int) -> list[str]:
    if sweep.status[lane] == "done":
        return []
    return ["diverged", f"step {sweep.stop_steps[lane]}"]


def _grid_with_margins(sweep: Sweep, grid: Grid, side: int) -> np.ndarray:
    _, height, width, _ = sweep.images.shape
    height, width = output_size(height, width, Size("long", side))
    size = max(12, side // 14)
    font = ImageFont.load_default(size)
    heads, sides = (
        [f"{in_lines(name)}\n{number_text(value)}" for value in values]
        for name, values in (
            (grid.column_name, grid.column_values),
            (grid.row_name, grid.row_values),
        )
    )
    lines = [line for text in sides for line in text.split("\n")]
    gap = side // 16
    left = 2 * gap + math.ceil(max(map(font.getlength, lines)))
    top = 2 * gap + size * 3 // 2 * (1 + heads[0].count("\n"))
    rows, columns = grid.lanes.shape
    sheet = Image.new(
        "RGB", (left + columns * (width + gap), top + rows * (height + gap)), "white"
    )
    draw = ImageDraw.Draw(sheet)

    def write(x: float, y: float, text: str, anchor: str = "mm") -> None:
        align = "right" if anchor == "rm" else "center"
        draw.multiline_text((x, y), text, "black", font, anchor, align=align)

    for (row, column), lane in np.ndenumerate(grid.lanes):
        x, y = left + column * (width + gap), top + row * (height + gap)
        picture = resize(_picture(sweep, lane), height, width)
        sheet.paste(Image.fromarray(to_8_bit(picture)), (x, y))
        write(x + width / 2, y + height / 2, "\n".join(_failure(sweep, lane)))
        if row == 0:
            write(x + width / 2, top / 2, heads[column])
        if column == 0:
            write(left - gap, y + height / 2, sides[row], "rm")
    return np.asarray(sheet, np.float32) / np.float32(255)


def _stacked(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    width = max(upper.shape[1], lower.shape[1])
    return np.concatenate(
        [
            np.pad(
                part,
                [(0, 0), (0, width - part.shape[1]), (0, 0)],
                constant_values=1,
            )
            for part in (upper, lower)
        ]
    )
