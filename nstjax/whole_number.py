"""Whole numbers that people write in flags and in the names of files."""


def is_whole_number(text: str) -> bool:
    """Whether ``int`` reads a text as 0 or more, in nine digits at most.

    A longer number is none that anything here counts, and of one with thousands of
    digits ``int`` raises an error of its own.
    """
    return text.isdecimal() and len(text) < 10
