"""A layer that is made up, and its distance from a painting's."""

import jax
import numpy as np
import reference
from scipy.spatial.distance import cdist

from nstjax.statistics.style import describe_style, style_distance, style_target
from nstjax.statistics.table import STATISTICS

LOSSES = tuple(STATISTICS)
SAMPLED = tuple(name for name in LOSSES if STATISTICS[name].sampled)
N = 10  # channels that the formulas count; the layers here have 4 of them


def activation(seed=0, shape=(5, 7, 4), scale=30.0):
    """Like a layer after its ReLU, with channels that depend on each other."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) @ rng.normal(size=(shape[2], shape[2]))
    return scale * np.maximum(values + rng.normal(size=shape[2]), 0)


def distance(
    F, P, form, key, guide=None, painting_guide=None, channels=N, description=None
):
    """E_l of a layer F from a painting's layer P, or from what is kept of it."""
    if description is None:
        description = describe_style(
            P, form, jax.random.fold_in(key, 1), guide=painting_guide, channels=channels
        )
    target = style_target(description, form)
    return style_distance(F, target, form, key, guide=guide, channels=channels)


# Each operation on its own would compile by itself.
compiled_distance, value_and_gradient = (
    jax.jit(f, static_argnames=("form", "channels"))
    for f in (distance, jax.value_and_grad(distance))
)
describe = jax.jit(describe_style, static_argnames=("form", "channels"))


def spread(activation):
    """Positions in rows."""
    return activation.reshape(-1, activation.shape[-1])


def moments_formula(F, P):
    F, P = spread(F), spread(P)
    deviations = [np.sqrt(X.var(0) + 1e-6) for X in (F, P)]
    means = np.sum((F.mean(0) - P.mean(0)) ** 2)
    return 1e3 / N * (means + np.sum((deviations[0] - deviations[1]) ** 2))


def linear_formula(F, P):
    return 1e4 / N * np.sum((spread(F).mean(0) - spread(P).mean(0)) ** 2)


def quarter_gram_formula(F, P):
    wide = [np.pad(X, ((0, 0), (0, 0), (0, N - X.shape[2]))) for X in (F, P)]
    return reference.gatys_style(*wide)


def wasserstein_formula(F, P):
    return 500.0 / N * 4 * reference.wasserstein_style(F, P)


def histogram_formula(F, P):
    F, P = np.sort(spread(F), axis=0), np.sort(spread(P), axis=0)
    return 500.0 / N * np.sum((F - P) ** 2) / len(F)


def gaussian_formula(F, P):
    """All pairs, with the mean over all pairs of different samples as its width."""
    x, y = spread(F), spread(P)
    count = len(x)
    squares = [cdist(a, b, "sqeuclidean") for a, b in ((x, x), (y, y), (x, y))]
    different = ~np.eye(count, dtype=bool)
    xx, yy = (square[different] for square in squares[:2])
    width = np.mean([xx.mean(), yy.mean(), squares[2].mean(), squares[2].mean()])
    within = np.exp(-xx / width).mean() + np.exp(-yy / width).mean()
    return 7.5e14 / (N * count) * (within - 2 * np.exp(-squares[2] / width).mean())


FORMULAS = {
    "gram": quarter_gram_formula,
    "mmd-poly": quarter_gram_formula,
    "moments": moments_formula,
    "mmd-linear": linear_formula,
    "wasserstein2": wasserstein_formula,
    "histogram": histogram_formula,
}
