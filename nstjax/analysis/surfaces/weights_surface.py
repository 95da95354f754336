"""Final losses of a sweep over beta/alpha and a second setting, as a surface.

The minimum over images of α C + β S is a minimum of linear functions of (α, β), so it
is concave in them whatever the losses look like in image space, and the minimizing
image depends on their ratio alone. No more can be read from such axes.
"""

import numpy as np

from nstjax.analysis.surfaces.request import LARGEST_SIDE
from nstjax.analysis.surfaces.surface import NO_MARKS, Surface, unknown_values
from nstjax.analysis.sweeps.axes import WEIGHTS, weights_of
from nstjax.analysis.sweeps.file import Sweep
from nstjax.errors import InputError

# Of the largest value of a setting to its smallest: from there on, its axis is log10.
LOGARITHMIC_FROM = 100


def weights_surface(sweep: Sweep) -> Surface:
    """The surface of a sweep that varies alpha or beta, and at most one other setting.

    Where alpha and beta both vary and nothing else does, alpha is the second setting.
    Unweighted losses over s = log10(β/α) and t, the second setting, or its log10 where
    its values are positive and span a factor of 100. Diverged runs, and nodes without a
    run, are not done. There is no plane.
    """
    count = len(sweep.status)
    alpha, beta = weights_of(sweep)
    varied = [name for name, x in sweep.settings.items() if np.unique(x).size > 1]
    others = [name for name in varied if name not in WEIGHTS]
    if not others and set(WEIGHTS) <= set(varied):
        others = ["alpha"]
    if len(others) > 1 or not set(WEIGHTS) & set(varied):
        raise InputError(
            f"the sweep varies {', '.join(varied) or 'nothing'}: a surface over "
            "weights needs alpha or beta to vary, and at most one other setting"
        )
    if not (alpha.min() > 0 and beta.min() > 0):
        raise InputError("alpha or beta is 0 in the sweep: no ratio has a logarithm")
    # The ratio itself may be too large for a number.
    ratios = np.log10(beta) - np.log10(alpha)
    s, i = np.unique(ratios.round(9), return_inverse=True)
    t, j, second = np.zeros(1), np.zeros(count, int), ""
    if others:
        second = others[0]
        values = np.asarray(sweep.settings[second], np.float64)
        if 0 < LOGARITHMIC_FROM * values.min() <= values.max():
            values, second = np.log10(values), f"log10({second})"
        t, j = np.unique(values, return_inverse=True)
    if len({*zip(i.tolist(), j.tolist(), strict=True)}) < count:
        raise InputError(
            "the sweep has several runs of one ratio beta/alpha: let only one of the "
            "two weights vary"
        )
    if len(s) * len(t) > LARGEST_SIDE**2:
        raise InputError(
            f"the sweep has {len(s)} ratios beta/alpha and {len(t)} values of "
            f"{second}, more than {LARGEST_SIDE**2} nodes: let them be a grid"
        )
    known = unknown_values((len(s), len(t)), ())
    done = np.zeros((len(s), len(t)), bool)
    done[i, j] = sweep.status == "done"
    for grid, name in zip(known[:3], ("content", "style", "tv"), strict=True):
        grid[i, j] = np.where(done[i, j], sweep.final[name], np.nan)
    return Surface(
        plane=None,
        s=s,
        t=t,
        values=known,
        done=done,
        points=NO_MARKS,
        trajectories={},
        weights={},
        labels=("log10(β/α)", second),
        about={"flags": {"kind": "weights"}, "settings": sweep.config["settings"]},
    )
