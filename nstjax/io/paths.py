"""Paths and masks as people write them."""

import os
import re

from nstjax.errors import InputError

StrPath = str | os.PathLike[str]
Mask = str | tuple[str, ...]


def expand_home(path: str) -> str:
    """The path with its ``~`` or ``~NAME`` replaced, unless a file has this name."""
    return path if os.path.lexists(path) else os.path.expanduser(path)


def split_escaped(text: str, separator: str) -> list[str]:
    r"""Split at a character, except where it has a backslash before it.

    >>> split_escaped(r"wave.jpg,paint\,ing.jpg", ",")
    ['wave.jpg', 'paint,ing.jpg']
    """
    parts = re.split(rf"(?<!\\){re.escape(separator)}", text) if text else []
    return [part.replace(f"\\{separator}", separator) for part in parts]


def split_paths(text: str, separator: str = ",") -> list[str]:
    """Several paths, or one that has the separator in its name; ``~`` is expanded."""
    whole = expand_home(text)
    if os.path.lexists(whole):
        return [whole]
    return [expand_home(part.strip()) for part in split_escaped(text, separator)]


def parse_mask(text: str) -> Mask | None:
    """What people write for a mask: a map, grey masks with + between, or none."""
    if not text or text == "none":
        return None
    masks = tuple(split_paths(text, "+"))
    if not all(masks):
        raise InputError(f"{text} lacks a mask: give grey masks as a.png+b.png")
    return masks if len(masks) > 1 else masks[0]
