import pytest

from nstjax.analysis.surfaces.request import parse_line, parse_nodes, parse_ranges
from nstjax.errors import InputError


def test_what_flags_mean():
    assert parse_nodes(None, "pca") == (51, 51)
    assert parse_nodes(None, "line") == (201, 1)
    assert parse_nodes("3x1001", "plane3") == (3, 1001)
    assert parse_ranges("-.5:1e1", "line")[0] == (-0.5, 10)
    assert parse_line("content:style") == ("content", "style")


@pytest.mark.parametrize(
    "text", ["", "51", "0x5", "1x5", "5x", "5x1002", "5 x 5", "-5x5", "5x5x5", "²x5"]
)
def test_bad_nodes(text):
    with pytest.raises(InputError, match="is not understood: give 51x51"):
        parse_nodes(text, "plane3")
    with pytest.raises(InputError, match="is not understood: give 201"):
        parse_nodes(f"{text}x", "line")


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1:1", "-1:1,2:1", "1:1,0:1", "0:1,0:inf", "nan:1,0:1", "a:b,0:1"),
        *("0:1,1:1e39", "0,1,2"),
    ],
)
def test_bad_ranges(text):
    with pytest.raises(InputError, match="is not understood: give -1:1,-1:1"):
        parse_ranges(text, "plane3")
    with pytest.raises(InputError, match=r"give -0\.5:1\.5"):
        parse_ranges(f"{text},0:1", "line")


@pytest.mark.parametrize("text", ["", "result", "result:result", "a:b", "content:"])
def test_bad_lines(text):
    with pytest.raises(InputError, match="give two of result, content, style"):
        parse_line(text)
