"""The error that a person can mend, in one line."""


class InputError(ValueError):
    """A wrong input, described in one line for whoever gave it.

    The command prints the message after ``nstjax: error:`` and exits with status 2;
    from Python it is an ordinary ``ValueError``.
    """
