import pytest

from nstjax.analysis.surfaces.request import parse_line, parse_nodes, parse_ranges
from nstjax.errors import InputError


def test_what_flags_mean():
    assert parse_nodes(None, "pca") == (51, 51)
    assert parse_nodes(None, "line") == (201, 1)
    assert parse_nodes("3x1001", "plane3") == (3, 1001)
    assert parse_ranges("-.5:1e1", "line")[0] == (-0.5, 10)
    assert parse_line("content:style") == ("content", "style")


NODES = ["51", "0x5", "1x5", "5x", "5x1002", "5 x 5", "-5x5", "5x5x5", "²x5"]
RANGES = ["1:1,0:1", "0:1,0:inf", "nan:1,0:1", "a:b,0:1", "0:1,1:1e39", "0,1,2", "-1:1"]


@pytest.mark.parametrize(
    ("parse", "texts", "says"),
    [
        (lambda text: parse_nodes(text, "plane3"), NODES, "give 51x51, from 2 to 1001"),
        (lambda text: parse_nodes(text, "line"), [*NODES[1:], "1"], "give 201"),
        (lambda text: parse_ranges(text, "plane3"), RANGES, "give -1:1,-1:1, low bef"),
        (lambda text: parse_ranges(text, "line"), RANGES[:-1], r"give -0\.5:1\.5"),
        (parse_line, ["result", "a:b", "content:", "style:style"], "two of result, co"),
    ],
)
def test_what_is_not_understood(parse, texts, says):
    for text in ["", *texts]:
        with pytest.raises(InputError, match=f"is not understood: .*{says}"):
            parse(text)
