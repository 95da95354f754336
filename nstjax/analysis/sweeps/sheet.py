"""The pictures of a sweep on one sheet."""

import logging
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nstjax.analysis.sweeps import axes
from nstjax.analysis.sweeps.file import Sweep
from nstjax.images.contact_sheet import contact_sheet, montage
from nstjax.images.pixels import to_8_bit
from nstjax.images.resizing import Size, output_size, resize

LOGGER = logging.getLogger("nstjax")

MAX_PICTURES = 400
MIN_SIDE, MAX_SIDE = 128, 256


def sweep_sheet(
    sweep: Sweep, content: np.ndarray, styles: Sequence[np.ndarray]
) -> np.ndarray:
    """The pictures of a sweep with their settings, below the content and the styles.

    A full grid of two settings has their values on its margins; pictures of other
    sweeps follow one another, each over its settings, 400 that are evenly chosen at
    most. Those that diverged are grey. All pictures are float32 [height, width, 3],
    sRGB in 0..1.
    """
    _, height, width, _ = sweep.images.shape
    side = min(max(height, width, MIN_SIDE), MAX_SIDE)
    sources = [content, *styles]
    source_labels = ["content", *["style"] * len(styles)]
    count = len(sweep.status)
    grid = axes.full_grid(sweep)
    if grid and count <= MAX_PICTURES:
        header = contact_sheet(sources, source_labels, len(sources), side)
        parts = header, _grid_with_margins(sweep, grid, side)
        widest = max(part.shape[1] for part in parts)
        return np.concatenate(
            [_white_around(part, right=widest - part.shape[1]) for part in parts]
        )
    runs = list(range(count))
    if count > MAX_PICTURES:
        runs = np.linspace(0, count - 1, MAX_PICTURES).round().astype(int).tolist()
        LOGGER.info("the sheet shows %d of %d settings", MAX_PICTURES, count)
    for run in runs:
        sources.append(_picture(sweep, run))
        source_labels.append(f"{axes.setting_text(sweep, run)}\n{_failure(sweep, run)}")
    return contact_sheet(sources, [each.rstrip() for each in source_labels], cell=side)


def _picture(sweep: Sweep, run: int) -> np.ndarray:
    picture = sweep.images[run] / np.float32(255)
    if sweep.status[run] != "done":
        grey = picture.mean(axis=2, keepdims=True)
        picture = np.repeat(0.65 + 0.25 * grey, 3, axis=2)
    return picture


def _failure(sweep: Sweep, run: int) -> str:
    failed = sweep.status[run] != "done"
    return f"diverged\nstep {sweep.stop_steps[run]}" if failed else ""


def _grid_with_margins(sweep: Sweep, grid: axes.Grid, side: int) -> np.ndarray:
    _, height, width, _ = sweep.images.shape
    height, width = output_size(height, width, Size("long", side))
    size, gap = max(12, side // 14), side // 16
    font = ImageFont.load_default(size)

    def texts(name: str, values: np.ndarray) -> list[str]:
        return [f"{axes.in_lines(name)}\n{axes.number_text(each)}" for each in values]

    heads = texts(grid.column_name, grid.column_values)
    sides = texts(grid.row_name, grid.row_values)
    lines = [line for text in sides for line in text.split("\n")]
    left = 2 * gap + math.ceil(max(map(font.getlength, lines)))
    top = 2 * gap + size * 3 // 2 * (1 + heads[0].count("\n"))
    rows = [
        montage([resize(_picture(sweep, run), height, width) for run in row], gap)
        for row in grid.runs
    ]
    pictures = np.concatenate([_white_around(row, bottom=gap) for row in rows])
    white = _white_around(pictures, top=top, left=left, right=gap)
    sheet = Image.fromarray(to_8_bit(white))
    draw = ImageDraw.Draw(sheet)

    def write(x: float, y: float, text: str, anchor: str = "mm") -> None:
        align = "right" if anchor == "rm" else "center"
        draw.multiline_text((x, y), text, "black", font, anchor, align=align)

    across = [left + i * (width + gap) + width / 2 for i in range(len(heads))]
    down = [top + i * (height + gap) + height / 2 for i in range(len(sides))]
    for x, head in zip(across, heads, strict=True):
        write(x, top / 2, head)
    for y, text in zip(down, sides, strict=True):
        write(left - gap, y, text, "rm")
    for (row, column), run in np.ndenumerate(grid.runs):
        write(across[column], down[row], _failure(sweep, run))
    return np.asarray(sheet, np.float32) / np.float32(255)


def _white_around(
    picture: np.ndarray, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0
) -> np.ndarray:
    margins = [(top, bottom), (left, right), (0, 0)]
    return np.pad(picture, margins, constant_values=1)
