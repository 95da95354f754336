"""Values of the benchmarks' flags, read with a line of what is wrong with them."""

from collections.abc import Sequence

from absl import flags

from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.whole_number import is_whole_number


def no_arguments(arguments: Sequence[str]) -> None:
    """Raise ``InputError`` if there are arguments that are no flags."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")


def whole_numbers(flag: str, least: int = 1) -> list[int]:
    """The numbers of a list flag.

    Raises:
      InputError: there are none, or one is no whole number of ``least`` or more.
    """
    texts: list[str] = flags.FLAGS[flag].value or []
    if not texts or not all(
        is_whole_number(text) and int(text) >= least for text in texts
    ):
        raise InputError(
            f"--{flag}={','.join(texts)}: give numbers of {least} or more, with commas"
        )
    return [int(text) for text in texts]


def exact_size(flag: str, text: str) -> tuple[int, int]:
    """Height and width from a flag's WIDTHxHEIGHT.

    Raises:
      InputError: it is something else.
    """
    if "x" not in text:
        raise InputError(f"--{flag} has {text!r}: give WIDTHxHEIGHT such as 512x512")
    size = parse_size(text).value
    assert isinstance(size, tuple)
    return size
