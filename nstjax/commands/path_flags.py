r"""Flags whose values are paths, for every command.

``~`` is expanded in each of them. Where a value holds several paths, ``\`` before the
character that parts them keeps it in a name; a value that is the name of a file is that
file.
"""

from collections.abc import Callable
from typing import Any

from absl import flags

from nstjax.io.paths import Mask, expand_home, parse_mask, split_paths

# What this module defines belongs to the command that asks for it.
flags.disclaim_key_flags()


class Parser(flags.ArgumentParser):
    """Reads a flag's value by a function."""

    def __init__(self, read: Callable[[str], Any]):
        self._read = read

    def parse(self, argument: str) -> Any:
        """The value that is meant."""
        return self._read(argument)


def define_path(name: str, default: str | None, help_text: str) -> flags.FlagHolder:
    """Define a flag that is one path, or a name such as ``auto`` in its place."""
    return flags.DEFINE(Parser(expand_home), name, default, help_text)


def define_paths(
    name: str,
    default: str | None,
    help_text: str,
    *,
    separator: str | None = ",",
    flag_values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder:
    """Define a flag that is a list of paths; given again, it adds to the list.

    ``separator`` stands between the paths of one value; None: each value is one path.
    """

    def parse(text: str) -> list[str]:
        return split_paths(text, separator) if separator else [expand_home(text)]

    flag = _ListFlag(Parser(parse), None, name, default, help_text)
    return flags.DEFINE_flag(flag, flag_values)


def define_mask(name: str, help_text: str) -> flags.FlagHolder:
    """Define a flag that is one mask, see ``parse_mask``."""
    return flags.DEFINE(Parser(parse_mask), name, None, help_text)


def define_masks(name: str, help_text: str) -> flags.FlagHolder:
    """Define a flag that is a list of masks; given again, it adds to the list."""

    def parse(text: str) -> list[Mask | None]:
        return list(map(parse_mask, split_paths(text)))

    return flags.DEFINE_flag(_ListFlag(Parser(parse), None, name, None, help_text))


class _ListFlag(flags.Flag):
    def parse(self, argument: str) -> None:
        before = self.value if self.present else None
        super().parse(argument)
        self.value = [*(before or []), *(self.value or [])]
