"""What people ask for as a style: names or paintings, mixed, in a row, in regions."""

import contextlib
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference import restyle
from nstjax.feedforward.networks import model_file
from nstjax.feedforward.networks.model_file import BUNDLED, LONGEST_NAME, bundled_model
from nstjax.images.resizing import Size, output_size, resize
from nstjax.io.contents import shortened
from nstjax.io.images import read_image
from nstjax.io.paths import expand_home, split_escaped
from nstjax.io.weights import load_network

ALL = "all"
PAINTERLY, ARBITRARY = BUNDLED


class StyleSpecification(NamedTuple):
    """One way to restyle a picture: in one style, or in one for each region."""

    name: str
    styles: tuple[restyle.Style, ...]


def parse_styles(texts: Sequence[str]) -> list[tuple[str, float]]:
    r"""Read styles and their shares as people write them, with commas between.

    A file may have commas and colons in its name.

    >>> parse_styles(["wave"])
    [('wave', 1.0)]
    >>> parse_styles(["wave:0.3,scream:0.7", "lilies"])
    [('wave', 0.3), ('scream', 0.7), ('lilies', 1.0)]
    >>> parse_styles([r"red\, blue.jpg:2"])
    [('red, blue.jpg', 2.0)]
    """
    items = []
    for text in texts:
        whole = _style_and_share(text)
        if Path(whole[0]).is_file():
            items.append(whole)
            continue
        items += map(_style_and_share, split_escaped(text, ",") or [""])
    names = [name for name, _ in items]
    if not all(names) or len(set(names)) != len(names):
        raise InputError(
            f"--style={','.join(texts)}: give names or paintings with commas between, "
            "each once, such as wave:0.3,scream:0.7"
        )
    return items


def _style_and_share(text: str) -> tuple[str, float]:
    text = expand_home(text.strip())
    name, colon, share = text.rpartition(":")
    if colon and not Path(text).is_file():
        with contextlib.suppress(ValueError):
            return name.strip(), float(share)
    return text, 1.0


def load_restyler(
    items: Sequence[tuple[str, float]], model: str | None, weights: str, **options: Any
) -> restyle.Restyler:
    """The model that ``parse_styles``' items ask for, or the one that is named.

    The options are those of ``nstjax.feedforward.inference.restyle.make_restyler``.
    """
    if model is None:
        painterly = bundled_model(PAINTERLY)
        unknown = [name for name, _ in items if name not in (ALL, *painterly.styles)]
        if not unknown:
            return restyle.make_restyler(
                painterly, lambda: load_network(weights), **options
            )
        missing = [name for name in unknown if not Path(name).is_file()]
        if missing:
            raise InputError(
                f"{missing[0]} is no style that is known here and no file: styles are "
                f"{', '.join(painterly.styles)}, or give the path of a painting"
            )
        if len(unknown) < len(items):
            raise InputError(
                "names of styles and paintings cannot be mixed: give paintings only, "
                "or names only"
            )
    found = load_model(model or ARBITRARY)
    if model is not None:
        for name, _ in items:
            _check_style(found, model, name)
    return restyle.make_restyler(found, lambda: load_network(weights), **options)


def specify_styles(
    restyler: restyle.Restyler,
    items: Sequence[tuple[str, float]],
    *,
    regions: bool = False,
    steps: int = 0,
    style_size: Size,
) -> list[StyleSpecification]:
    """The style specifications that are asked for: a mixture if no more is said.

    With regions each style is kept by itself; steps are those of a row from the first
    style to the last. Paintings get ``style_size``, but are not enlarged.
    """
    all_styles = [name for name, _ in items] == [ALL] and not restyler.arbitrary
    if all_styles:
        items = [(name, 1.0) for name in restyler.model.styles]
    names = [Path(name).stem if restyler.arbitrary else name for name, _ in items]
    styles = [_style(restyler, name, style_size) for name, _ in items]
    if all_styles and not (regions or steps):
        pairs = zip(names, styles, strict=True)
        return [StyleSpecification(name, (style,)) for name, style in pairs]
    if regions:
        name = shortened("-".join(names), LONGEST_NAME)
        return [StyleSpecification(name, tuple(styles))]
    if steps:
        return _row(names, styles, steps)
    shares = restyle.normalized_shares([share for _, share in items])
    named = [
        name if share == 1 else f"{name}{round(100 * share)}"
        for name, share in zip(names, shares, strict=True)
    ]
    name = "-".join(named)
    if len(named) > 1 and len(name) > LONGEST_NAME:
        name = f"{named[0]}-and-{len(named) - 1}-others"
    mixed = restyle.mixture(styles, shares)
    return [StyleSpecification(shortened(name, LONGEST_NAME), (mixed,))]


def _row(
    names: Sequence[str], styles: Sequence[restyle.Style], steps: int
) -> list[StyleSpecification]:
    """Mixtures at even distances along the way through all styles."""
    if len(styles) < 2 or steps < 2:
        raise InputError(
            f"a row of {steps} steps through {len(styles)} styles: give two styles or "
            "more, and two steps or more"
        )
    row = []
    for place in np.linspace(0, len(styles) - 1, steps):
        first = min(math.floor(place), len(styles) - 2)
        share = float(place) - first
        name = f"{names[first]} to {names[first + 1]} {share:.2f}"
        mixed = restyle.mixture(styles[first : first + 2], [1 - share, share])
        row.append(StyleSpecification(name, (mixed,)))
    return row


def _style(restyler: restyle.Restyler, name: str, style_size: Size) -> restyle.Style:
    if not restyler.arbitrary:
        return restyler.named_style(name)
    used_size = functools.partial(size_at_most, size=style_size)
    painting = read_image(name, used_size)
    return restyler.style_of(resize(painting, *used_size(*painting.shape[:2])))


def size_at_most(height: int, width: int, size: Size) -> tuple[int, int]:
    """The (height, width) that a rule makes of a picture, which does not grow."""
    new_height, new_width = output_size(height, width, size)
    smaller = new_height * new_width < height * width
    return (new_height, new_width) if smaller else (height, width)


def _check_style(found: model_file.StyleModel, model: str, name: str) -> None:
    """Raise ``InputError`` for what is a style of another model."""
    is_file = Path(name).is_file()
    if found.styles and is_file and name not in (ALL, *found.styles):
        raise InputError(
            f"{name} is a painting, and the styles of {model} are "
            f"{', '.join(found.styles)}: leave --model out, or choose one of these"
        )
    if not found.styles and not is_file and name in bundled_model(PAINTERLY).styles:
        raise InputError(
            f"{name} is a style of {PAINTERLY}, not of {model}: leave --model out, or "
            "give a painting"
        )


def load_model(model: str) -> model_file.StyleModel:
    """A bundled model by its name, or the one of a file."""
    return bundled_model(model) if model in BUNDLED else model_file.read_model(model)


def styles_text(model: str | None) -> str:
    """The styles of a model, a line each, with what its card says of them."""
    found = load_model(model or PAINTERLY)
    if not found.styles:
        return "any painting: nstjax-fast PHOTO --style=PAINTING"
    width = max(map(len, found.styles))
    lines = (f"{name:<{width}}  {found.titles.get(name, '')}" for name in found.styles)
    return "\n".join(map(str.rstrip, lines))
