"""Which settings trade two losses best: [N] of each, where NaN does not count."""

import numpy as np


def non_dominated(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Where no other point is as small in both losses and smaller in one, bool [N]."""
    x, y = content[:, None], style[:, None]
    no_larger, smaller = (x <= content) & (y <= style), (x < content) | (y < style)
    counts = np.isfinite(content) & np.isfinite(style)
    return counts & ~(no_larger & smaller).any(axis=0)


def knee(content: np.ndarray, style: np.ndarray) -> int | None:
    """The point where the front bends most; None when it is straight.

    Both logarithms are scaled to 0..1 over the front; the knee is farthest from the
    chord between the front's ends, on either side.

    Source:
      Satopää et al. (2011), "Kneedle", without its smoothing.
    """
    front = np.flatnonzero(non_dominated(content, style))
    if front.size < 3:
        return None
    x, y = np.log(content[front]), np.log(style[front])
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    distance = np.abs(1 - (x - x.min()) / np.ptp(x) - (y - y.min()) / np.ptp(y))
    best = int(distance.argmax())
    return int(front[best]) if distance[best] > 1e-9 else None
