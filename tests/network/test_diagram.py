"""The network as a table and as a picture."""

import numpy as np
import pytest

from nstjax.network.diagram import COLORS, draw, table_text
from nstjax.network.vgg import CONV_LAYERS, LAYERS, summarize

RED = "#b3201b"


@pytest.fixture(scope="module")
def rows():
    return summarize(300, 400, pool_padding="same")


@pytest.fixture(scope="module")
def picture(rows):
    return draw(rows)


def test_table_has_a_line_for_every_layer(rows):
    header, *lines, total = table_text(rows).splitlines()
    assert "output shape" in header
    assert [line.split()[0] for line in lines] == list(LAYERS)
    for line, row in zip(lines, rows, strict=True):
        assert str(row.shape) in line
        parameters, receptive_field = line.split()[-2:]
        assert int(parameters.replace(",", "")) == row.parameters
        assert int(receptive_field) == row.receptive_field
    # 3·3·in·out + out over the sixteen convolutions.
    assert total.split() == ["total", "20,024,384"]


def test_table_columns_stand_below_one_another(rows):
    _, *lines, _ = table_text(rows).splitlines()
    assert {line.index("(") for line in lines} == {9}
    assert len({len(line) for line in lines}) == 1


def share(picture: np.ndarray, color: str) -> float:
    """How much of the picture has a color, but for the edges' blends."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return (np.abs(picture - rgb).max(axis=-1) < 0.02).mean()


def columns_of(picture: np.ndarray, color: str) -> int:
    """How many separate boxes of a color stand side by side."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    filled = (np.abs(picture - rgb).max(axis=-1) < 0.02).sum(axis=0) > 20
    return int((np.diff(filled.astype(int), prepend=0) == 1).sum())


def test_picture_has_a_box_for_every_convolution_and_pooling(picture):
    assert picture.dtype == np.float32
    assert picture.ndim == 3
    assert 0 <= picture.min() < picture.max() <= 1
    assert columns_of(picture, COLORS["conv"]) == len(CONV_LAYERS)
    assert columns_of(picture, COLORS["pool"]) == 5


def test_picture_marks_the_layers_of_a_preset_in_red(rows, picture):
    assert share(picture, RED) == 0
    once = share(draw(rows, ["relu4_2"]), RED)
    thrice = share(draw(rows, ["conv1_1", "relu4_2", "pool3"]), RED)
    assert 0 < once < thrice


def test_picture_is_written_with_text(rows, picture):
    # Shapes and names: dark pixels above and below the boxes.
    height = picture.shape[0]
    for band in (picture[: height // 4], picture[-height // 4 :]):
        assert (band.max(axis=-1) < 0.45).any()
    # Other numbers make another picture.
    other = draw(summarize(200, 400, pool_padding="same"))
    assert other.shape == picture.shape
    assert (other != picture).any()
