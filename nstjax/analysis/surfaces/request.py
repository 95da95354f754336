"""How the nodes, the ranges and the ends of a surface are written on a command line."""

import re

from nstjax.analysis.surfaces.geometry import Range
from nstjax.analysis.surfaces.planes import PLANES
from nstjax.errors import InputError
from nstjax.presets.settings import LARGEST_NUMBER

IMAGES = ("result", "content", "style")
LARGEST_SIDE = 1001


def parse_nodes(text: str | None, kind: str) -> tuple[int, int]:
    """Read the nodes of a grid: ``51x51`` along s and t, or ``201`` for a line.

    >>> parse_nodes("31x21", "plane3")
    (31, 21)
    >>> parse_nodes("101", "line")
    (101, 1)
    """
    is_line = PLANES[kind].is_line
    example = "201" if is_line else "51x51"
    pattern = r"([0-9]{1,5})" if is_line else r"([0-9]{1,5})x([0-9]{1,5})"
    text = example if text is None else text
    found = re.fullmatch(pattern, text)
    counts = [int(digits) for digits in found.groups()] if found else [0]
    if min(counts) < 2 or max(counts) > LARGEST_SIDE:
        raise InputError(
            f"grid {text!r} is not understood: give {example}, from 2 to "
            f"{LARGEST_SIDE} on a side"
        )
    return counts[0], 1 if is_line else counts[1]


def parse_ranges(text: str, kind: str) -> tuple[Range, Range]:
    """Read the ranges of s and t, finite in float32, or one range for a line.

    >>> parse_ranges("-1:1,-0.5:2", "plane3")
    ((-1.0, 1.0), (-0.5, 2.0))
    """
    wanted, example = (1, "-0.5:1.5") if PLANES[kind].is_line else (2, "-1:1,-1:1")
    try:
        ranges = [_range(part) for part in text.split(",")]
        if len(ranges) != wanted:
            raise ValueError
    except ValueError:
        raise InputError(
            f"range {text!r} is not understood: give {example}, low before high"
        ) from None
    return ranges[0], ranges[-1]


def parse_line(text: str) -> tuple[str, str]:
    """Read the ends of a line, two of result, content and style: ``result:content``."""
    start, _, end = text.partition(":")
    if start == end or not {start, end} <= set(IMAGES):
        raise InputError(
            f"line {text!r} is not understood: give two of {', '.join(IMAGES)}, such "
            "as result:content"
        )
    return start, end


def _range(text: str) -> Range:
    low, high = map(float, text.split(":"))
    if not -LARGEST_NUMBER <= low < high <= LARGEST_NUMBER:
        raise ValueError
    return low, high
