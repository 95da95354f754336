"""The network as a table and as a picture."""

import numpy as np

from nstjax.network.architecture import CONV_LAYERS, LAYERS, summarize
from nstjax.network.diagram import COLORS, draw, table_text

ROWS = summarize(300, 400, pool_padding="same")


def test_table_has_a_line_for_every_layer():
    header, *lines, total = table_text(ROWS).splitlines()
    assert "output shape" in header
    assert [line.split()[0] for line in lines] == list(LAYERS)
    for line, row in zip(lines, ROWS, strict=True):
        assert str(row.shape) in line
        parameters, receptive_field = line.split()[-2:]
        assert int(parameters.replace(",", "")) == row.parameters
        assert int(receptive_field) == row.receptive_field
    # The columns stand below one another.
    assert {line.index("(") for line in lines} == {9}
    assert len({len(line) for line in lines}) == 1
    # 3·3·in·out + out over the sixteen convolutions.
    assert total.split() == ["total", "20,024,384"]


def colored(picture: np.ndarray, color: str) -> np.ndarray:
    """Where the picture has a color, but for the edges' blends."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.abs(picture - rgb).max(axis=-1) < 0.02


def columns_of(picture: np.ndarray, color: str) -> int:
    """How many separate boxes of a color stand side by side."""
    filled = colored(picture, color).sum(axis=0) > 20
    return int((np.diff(filled.astype(int), prepend=0) == 1).sum())


def test_picture_has_a_box_for_every_convolution_and_pooling():
    picture = draw(ROWS)
    assert picture.dtype == np.float32
    assert picture.ndim == 3
    assert 0 <= picture.min() < picture.max() <= 1
    assert columns_of(picture, COLORS["conv"]) == len(CONV_LAYERS)
    assert columns_of(picture, COLORS["pool"]) == 5
    # Shapes and names: dark pixels above and below the boxes.
    height = picture.shape[0]
    for band in (picture[: height // 4], picture[-height // 4 :]):
        assert (band.max(axis=-1) < 0.45).any()


def test_picture_marks_the_layers_of_a_preset_in_red():
    none, once, thrice = (
        colored(draw(ROWS, layers), "#b3201b").sum()
        for layers in ((), ["relu4_2"], ["conv1_1", "relu4_2", "pool3"])
    )
    assert none == 0 < once < thrice
