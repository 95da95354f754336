"""Pictures side by side, and sheets of captioned pictures."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nstjax.errors import InputError
from nstjax.images.resizing import Size, output_size, resize

NO_IMAGES = "there are no images to arrange: give at least one"


def montage(
    images: Sequence[np.ndarray],
    gap: int = 16,
    background: float | tuple[float, float, float] = 1.0,
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
    if not images:
        raise InputError(NO_IMAGES)
    height = height or max(image.shape[0] for image in images)
    row = [
        resize(image, height, max(1, round(image.shape[1] * height / image.shape[0])))
        for image in images
    ]
    width = sum(image.shape[1] for image in row) + gap * (len(row) - 1)
    canvas = np.full((height, width, 3), background, np.float32)
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
    if not images:
        raise InputError(NO_IMAGES)
    if labels is not None and len(labels) != len(images):
        raise InputError(f"{len(labels)} labels for {len(images)} images: give as many")
    if columns is not None and columns < 1:
        raise InputError(f"{columns} columns: give 1 or more")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    gap = max(4, cell // 16)
    font_size = max(12, cell // 16)
    line_height = font_size * 3 // 2
    texts = [label.split("\n") for label in labels or ()]
    pitch = cell + line_height * max(map(len, texts), default=0) + gap
    sheet = np.ones((rows * pitch + gap, columns * (cell + gap) + gap, 3), np.float32)
    corners = [
        (gap + index // columns * pitch, gap + index % columns * (cell + gap))
        for index in range(len(images))
    ]
    for image, (top, left) in zip(images, corners, strict=True):
        height, width = output_size(image.shape[0], image.shape[1], Size("long", cell))
        top, left = top + (cell - height) // 2, left + (cell - width) // 2
        sheet[top : top + height, left : left + width] = resize(image, height, width)
    if not texts:
        return sheet
    captions = Image.new("L", (sheet.shape[1], sheet.shape[0]), 255)
    draw, font = ImageDraw.Draw(captions), ImageFont.load_default(font_size)
    for lines, (top, left) in zip(texts, corners, strict=True):
        for number, line in enumerate(lines):
            middle = (left + cell / 2, top + cell + line_height * (number + 0.5))
            kept, shown = line, line
            while kept and font.getlength(shown) > cell:
                kept = kept[:-1]
                shown = kept.rstrip() + "…"
            draw.text(middle, shown, 0, font, anchor="mm")
    return sheet * (np.asarray(captions, np.float32)[:, :, None] / np.float32(255))
