"""Writing figures."""

import io
import os
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically

FORMATS = (".png", ".pdf")


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all; the same figure gives the same bytes.

    The suffix, .png or .pdf, chooses the format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            f"{path} has no suffix of a figure's format: "
            f"end it with one of {' '.join(FORMATS)}"
        )
    metadata = {"CreationDate": None} if suffix == ".pdf" else None
    contents = io.BytesIO()
    # Type 42 keeps the text of a PDF as text, which type 3 outlines do not everywhere.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(contents, format=suffix[1:], metadata=metadata)
    write_atomically(path, contents.getbuffer())
