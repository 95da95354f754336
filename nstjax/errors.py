"""Errors with a message of one line, for a person."""


class InputError(ValueError):
    """A wrong input, described in one line for whoever gave it.

    The command prints the message after ``nstjax: error:`` and exits with status 2;
    from Python it is an ordinary ``ValueError``.
    """


class EncodingError(OSError):
    """A result that no encoder takes, in whatever folder it is to be written."""
