"""Loss surfaces: the unweighted losses on a plane through image space.

    x(s, t) = x₀ + r (s u + t v)

with u and v orthonormal directions in image space and r = ‖x₀ - mean(x₀)‖₂, so that one
unit changes the image by as much as its own contrast. Nothing is cut to 0..255.
"""

from typing import Any, NamedTuple

import numpy as np


class Plane(NamedTuple):
    """A plane through image space, or a line.

    Attributes:
      kind: "plane3", "random", "random_pink", "pca", "hessian", "gradient" or "line".
      origin: x₀ in the network's units, shape [height, width, 3].
      u: first direction, of unit length, same shape.
      v: second direction, orthogonal to u; all 0 for a line.
      unit_length: r.
      labels: what the axes are, one for each.
      details: what else is to be known of the plane: seed, raw_cosine,
        explained_variance_ratio, eigenvalues; plain numbers, lists and text.
    """

    kind: str
    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    unit_length: float
    labels: tuple[str, str]
    details: dict[str, Any]


class Marks(NamedTuple):
    """Images that are shown on the plane, by their orthogonal projection.

    Attributes:
      names: one for each, such as "content", or the step of a trajectory.
      coordinates: (s, t), float64 [k, 2].
      residuals: distance from the plane in units of r, float64 [k].
      losses: unweighted content, style and tv of the image itself, float64 [k, 3].
    """

    names: tuple[str, ...]
    coordinates: np.ndarray
    residuals: np.ndarray
    losses: np.ndarray


class SurfaceValues(NamedTuple):
    """Unweighted losses on the grid; NaN where they are not known yet.

    Attributes:
      content: Σ_l w_l C_l, float64 [nu, nv]; index i along s, j along t.
      style: Σ_l w_l E_l, likewise.
      tv: total variation, likewise.
      style_layers: {layer: E_l}, likewise, without w_l.
      out_of_gamut: share of the values outside 0..255.
    """

    content: np.ndarray
    style: np.ndarray
    tv: np.ndarray
    style_layers: dict[str, np.ndarray]
    out_of_gamut: np.ndarray


class Surface(NamedTuple):
    """A surface as its file holds it.

    Attributes:
      plane: where in image space; None for final losses over two settings.
      s: coordinates along u, float64 [nu].
      t: coordinates along v, float64 [nv]; [0] for a line.
      values: on the grid.
      done: bool [nu, nv].
      points: marked images.
      trajectories: {run: its snapshots}, the names being steps.
      weights: the run's own {"alpha": α, "beta": β, "tv": weight}.
      labels: of the two axes, with their units.
      about: where it comes from: hashes, versions, layers; plain JSON data.
    """

    plane: Plane | None
    s: np.ndarray
    t: np.ndarray
    values: SurfaceValues
    done: np.ndarray
    points: Marks
    trajectories: dict[str, Marks]
    weights: dict[str, float]
    labels: tuple[str, str]
    about: dict[str, Any]
