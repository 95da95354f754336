"""Published optimizers in NumPy and float64, beside the formulas of ``reference``."""

from typing import NamedTuple

import numpy as np


class LbfgsRun(NamedTuple):
    """Iterates of ``torch_lbfgs``, the start first, and the steps of dropped pairs."""

    iterates: np.ndarray
    dropped: list[int]


def torch_lbfgs(gradient, start, steps, history=100, learning_rate=1.0):
    """``torch.optim.LBFGS`` without a line search and with tolerances that never stop.

    A pair (s, y) enters the history only if y·s > 1e-10; the initial inverse Hessian is
    y·s / y·y of the last pair that did. The first step is min(1, 1/‖g‖₁) long.
    """
    x = np.array(start, np.float64)
    pairs, scale, dropped, iterates = [], 1.0, [], [x.copy()]
    previous = step = None
    for iteration in range(steps):
        g = gradient(x)
        if previous is not None:
            y = g - previous
            if np.vdot(y, step) > 1e-10:
                pairs = [*pairs, (step, y)][-history:]
                scale = np.vdot(y, step) / np.vdot(y, y)
            else:
                dropped.append(iteration)
        q, alphas = -g, []
        for s, y in reversed(pairs):
            alphas.append(np.vdot(s, q) / np.vdot(y, s))
            q = q - alphas[-1] * y
        direction = scale * q
        for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
            beta = np.vdot(y, direction) / np.vdot(y, s)
            direction = direction + (alpha - beta) * s
        length = learning_rate
        if iteration == 0:
            length *= min(1.0, 1.0 / np.abs(g).sum())
        step, previous = length * direction, g
        x = x + step
        iterates.append(x.copy())
    return LbfgsRun(np.stack(iterates), dropped)


def adam(gradient, start, steps, learning_rate, b1=0.9, b2=0.999, epsilon=1e-8):
    """Kingma and Ba (2015), algorithm 1; the iterates, the start first."""
    x = np.array(start, np.float64)
    m, v, iterates = np.zeros_like(x), np.zeros_like(x), [x.copy()]
    for t in range(1, steps + 1):
        g = gradient(x)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        x = x - learning_rate * step
        iterates.append(x.copy())
    return np.stack(iterates)
