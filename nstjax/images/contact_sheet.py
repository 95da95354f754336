"""Pictures side by side, and sheets of captioned pictures."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nstjax.errors import InputError
from nstjax.images.resizing import Size, output_size, resize

Color = float | tuple[float, float, float]


def montage(
    images: Sequence[np.ndarray],
    gap: int = 16,
    background: Color = 1.0,
    height: int | None = None,
) -> np.ndarray:
    """Lay pictures of one height side by side.

    Args:
      images: [height, width, 3] each, 0..1; sizes may differ.
      gap: pixels between two pictures.
      background: grey or (red, green, blue) of the gap, 0..1.
      height: of all, in pixels; the tallest's where it is not given.

    Returns:
      float32 [height, width, 3], 0..1.

    Raises:
      InputError: no images.
    """
    _check_images(images)
    height = height or max(image.shape[0] for image in images)
    row = [
        resize(image, height, max(1, round(image.shape[1] * height / image.shape[0])))
        for image in images
    ]
    width = sum(image.shape[1] for image in row) + gap * (len(row) - 1)
    canvas = _canvas(height, width, background)
    left = 0
    for image in row:
        canvas[:, left : left + image.shape[1]] = image
        left += image.shape[1] + gap
    return canvas


def contact_sheet(
    images: Sequence[np.ndarray],
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    cell: int = 256,
) -> np.ndarray:
    """Arrange pictures in a grid on white, each over its caption.

    Args:
      images: [height, width, 3] each, 0..1; each is fitted into its square cell.
      labels: captions; a newline starts another line, and a line that is too long
        for its cell ends in an ellipsis. None leaves no room for captions.
      columns: pictures per row; None makes the grid about square.
      cell: side of a cell in pixels.

    Returns:
      float32 [height, width, 3], 0..1.

    Raises:
      InputError: no images, a number of labels that is not the number of images, or
        fewer than one column.
    """
    _check_images(images)
    if labels is not None and len(labels) != len(images):
        raise InputError(f"{len(labels)} labels for {len(images)} images: give as many")
    if columns is not None and columns < 1:
        raise InputError(f"{columns} columns: give 1 or more")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    gap = max(4, cell // 16)
    captions = [] if labels is None else _captions(labels, cell)
    pitch = cell + (captions[0].shape[0] if captions else 0) + gap
    sheet = _canvas(rows * pitch + gap, columns * (cell + gap) + gap, 1.0)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = gap + row * pitch, gap + column * (cell + gap)
        height, width = output_size(image.shape[0], image.shape[1], Size("long", cell))
        _paste(
            sheet,
            resize(image, height, width),
            top + (cell - height) // 2,
            left + (cell - width) // 2,
        )
        if captions:
            _paste(sheet, captions[index], top + cell, left)
    return sheet


def _captions(labels: Sequence[str], width: int) -> list[np.ndarray]:
    size = max(12, width // 16)
    font = ImageFont.load_default(size)
    texts = [
        "\n".join(_shortened(line, width, font) for line in label.split("\n"))
        for label in labels
    ]
    line_height = size * 3 // 2
    height = line_height * max(text.count("\n") + 1 for text in texts)
    captions = []
    for text in texts:
        caption = Image.new("L", (width, height), 255)
        draw = ImageDraw.Draw(caption)
        for index, line in enumerate(text.split("\n")):
            middle = (width / 2, line_height * (index + 0.5))
            draw.text(middle, line, fill=0, font=font, anchor="mm")
        captions.append(np.asarray(caption, np.float32)[:, :, None] / np.float32(255))
    return captions


def _shortened(
    line: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    kept = line
    while kept and font.getlength(line) > width:
        kept = kept[:-1]
        line = kept.rstrip() + "…"
    return line


def _paste(canvas: np.ndarray, image: np.ndarray, top: int, left: int) -> None:
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image


def _canvas(height: int, width: int, background: Color) -> np.ndarray:
    return np.full((height, width, 3), background, np.float32)


def _check_images(images: Sequence[np.ndarray]) -> None:
    if not images:
        raise InputError("there are no images to arrange: give at least one")
