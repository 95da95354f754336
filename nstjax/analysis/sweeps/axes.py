"""The settings of a sweep as the rows and columns of a grid, and as text."""

from typing import NamedTuple

import numpy as np

from nstjax.analysis.sweeps.file import Sweep
from nstjax.errors import InputError

WEIGHTS = ("alpha", "beta")


class Grid(NamedTuple):
    """Two settings in all their combinations, whose runs in the sweep are [R, C].

    The row's setting goes down, the column's across; their values ascend, [R] and [C].
    """

    row_name: str
    row_values: np.ndarray
    column_name: str
    column_values: np.ndarray
    runs: np.ndarray


def varied(sweep: Sweep) -> dict[str, np.ndarray]:
    """The settings that are not the same throughout; all of them where none varies."""
    settings = sweep.settings.items()
    return {name: x for name, x in settings if np.ptp(x)} or sweep.settings


def weights_of(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta of every setting, float64 [N] each."""
    fixed = sweep.config.get("settings")
    if fixed is None:
        raise InputError("the sweep does not say its alpha and beta: give sweep.h5")
    weights = (np.float64(sweep.settings.get(name, fixed[name])) for name in WEIGHTS)
    alpha, beta = (np.broadcast_to(each, sweep.status.shape) for each in weights)
    return alpha, beta


def full_grid(sweep: Sweep) -> Grid | None:
    """The sweep as a grid of two settings; None where it is something else.

    Alpha or beta goes across, else the setting that is named last.
    """
    names = sorted(varied(sweep), key=lambda name: name in WEIGHTS)
    if len(names) != 2:
        return None
    (row_values, rows), (column_values, columns) = (
        np.unique(sweep.settings[name], return_inverse=True) for name in names
    )
    runs = np.full((row_values.size, column_values.size), -1)
    runs[rows, columns] = np.arange(rows.size)
    if runs.size != rows.size or (runs < 0).any():
        return None
    return Grid(names[0], row_values, names[1], column_values, runs)


def number_text(value: float | np.integer) -> str:
    """A setting's value, short: a whole number, or else three digits."""
    if isinstance(value, np.integer) or value == int(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}"


def setting_text(sweep: Sweep, run: int) -> str:
    """What varies: a line for each setting."""
    return "\n".join(
        f"{in_lines(name)} = {number_text(values[run])}"
        for name, values in varied(sweep).items()
    )


def in_lines(name: str) -> str:
    """A setting's name, its layer or number on a line of its own."""
    return name.replace(".", ".\n")
