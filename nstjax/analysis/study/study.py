"""Is a run's loss convex? The tests of ``convexity`` put to its terms.

A violation counts once it has been seen twice: by evaluating its three images again one
by one at the highest float32 precision, and again in float64.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nstjax.analysis.convexity import convexity
from nstjax.analysis.convexity.curvature import extreme_eigenvalues, negative
from nstjax.analysis.study.loss_terms import TERMS, Terms, term_loss
from nstjax.analysis.surfaces.panels import total
from nstjax.analysis.surfaces.planes import point
from nstjax.analysis.surfaces.surface import Surface
from nstjax.errors import InputError
from nstjax.losses.objective import TransferData
from nstjax.optimization.transfer import LossFunction

THETAS = (0.25, 0.5, 0.75)
BATCH = 8
# A shift by the stride of the deepest style layer leaves the Gram matrices as they were
# but for the border.
SHIFT = 16
PLACES = (
    "content", "style", "shifted style", "noise", "iterate", "middle", "result",
)  # fmt: skip


class Member(NamedTuple):
    """An image that segments join.

    Attributes:
      kind: "content", "style", "shifted style", "noise" or "iterate", an image of the
        run.
      name: which of them.
      image: in the network's units, shape [height, width, 3].
    """

    kind: str
    name: str
    image: np.ndarray


def surface_study(
    surface: Surface, epsilon: Mapping[str, float], single: Terms, double: Terms
) -> dict[str, dict[str, Any]]:
    """Lattice midpoint test and envelope gap of every term on a plane.

    Args:
      surface: with its plane; its own weights make the total.
      epsilon: relative error of a value, by term.
      single: evaluates images one by one, see ``single_precision``.
      double: the same in float64.

    Returns:
      {term: figures}: ``fraction`` of the nodes that violate a midpoint inequality,
      ``worst`` second difference and envelope ``gap`` as shares of the range,
      ``confirmed`` (two excesses above 0) and ``verdict``.
    """
    values = surface.values
    weighted = total(surface, **surface.weights)
    grids = {"total": weighted, "content": values.content, "style": values.style}
    study = {}
    for term, grid in grids.items():
        tolerance = convexity.evaluation_tolerance(grid, epsilon[term])
        test = convexity.lattice_midpoint_test(grid, tolerance)
        excess: dict[str, float] = {}
        if test.violations:
            excess = _worst_triple(surface, test, term, single, double)
        confirmed = bool(excess) and min(excess.values()) > 0
        study[term] = {
            "fraction": test.fraction,
            "worst": test.worst,
            "gap": convexity.convex_envelope_gap(surface.s, surface.t, grid),
            "excess": excess,
            "confirmed": confirmed,
            "verdict": convexity.verdict(int(confirmed)),
        }
    return study


def members(
    content: np.ndarray,
    style: np.ndarray,
    snapshots: Mapping[int, np.ndarray],
    result: np.ndarray,
    seed: int = 0,
) -> list[Member]:
    """The images that segments join, from those of a run.

    Noise is Gaussian, with the photo's mean and contrast.
    """
    random = np.random.default_rng(seed)
    axes = (0, 1)
    mean, contrast = content.mean(axes, keepdims=True), content.std()
    return [
        Member("content", "content", content),
        Member("style", "style", style),
        *(
            Member(
                "shifted style", f"style shifted {shift}", np.roll(style, shift, axes)
            )
            for shift in ((SHIFT, 0), (0, SHIFT), (SHIFT, SHIFT))
        ),
        *(
            Member("noise", f"noise {i}", mean + contrast * _normal(random, content))
            for i in range(4)
        ),
        *(
            Member("iterate", f"iterate {step}", image)
            for step, image in snapshots.items()
            if step and not np.array_equal(image, result)
        ),
        Member("iterate", "result", result),
    ]


def segment_study(
    group: Sequence[Member],
    epsilon: Mapping[str, float],
    single: Terms,
    double: Terms,
    most: int = 256,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """f(θa + (1-θ)b) ≤ θ f(a) + (1-θ) f(b) on the segments between images.

    Args:
      group: from ``members``.
      epsilon: relative error of a value, by term.
      single: evaluates batches of images.
      double: the same in float64.
      most: how many pairs at most; chosen at random where there are more.
      seed: of that choice.

    Returns:
      {term: figures}: by kind of segment how many ``segments``, ``violations`` and
      their Wilson 95 % interval; over all of them ``worst``, the largest excess as a
      share of the chord's value, between which images, ``confirmed`` and ``verdict``.
    """
    pairs = list(itertools.combinations(range(len(group)), 2))
    if len(pairs) > most:
        chosen = np.random.default_rng(seed).choice(len(pairs), most, replace=False)
        pairs = [pairs[i] for i in sorted(chosen)]
    kinds = [" – ".join(sorted({group[i].kind, group[j].kind})) for i, j in pairs]
    ends = single(np.stack([member.image for member in group]))
    # Whole batches, and not all points at once: they would be hundreds of images.
    inner = [
        single(np.concatenate([_points(group, pair) for pair in pairs[i : i + BATCH]]))
        for i in range(0, len(pairs), BATCH)
    ]
    study = {}
    for term in TERMS:
        first, second = (ends[term][[pair[end] for pair in pairs]] for end in (0, 1))
        between = np.concatenate([values[term] for values in inner])
        between = between.reshape(len(pairs), len(THETAS))
        tolerances = convexity.segment_tolerances(
            np.column_stack([first, second, between]), epsilon[term]
        )
        excess, above = convexity.segment_violations(
            first, second, between, THETAS, tolerances
        )
        summary = convexity.summarize_segments(excess, kinds, tolerances)
        chord = first[:, None] * THETAS + second[:, None] * (1 - np.array(THETAS))
        shares = excess / chord
        # Where both ends are nearly 0, a share may be large and still be rounding.
        counted = np.where(above, shares, -np.inf) if above.any() else shares
        pair_index, theta_index = np.unravel_index(np.argmax(counted), shares.shape)
        pair, theta = pairs[pair_index], THETAS[theta_index]
        worst = float(shares[pair_index, theta_index])
        confirmed_by: dict[str, float] = {}
        if above.any():
            images = np.stack(
                [
                    group[pair[0]].image,
                    group[pair[1]].image,
                    _between(group, pair, theta),
                ]
            )
            confirmed_by = {
                name: _excess(evaluate(images)[term], theta)
                for name, evaluate in (("float32", single), ("float64", double))
            }
        confirmed = bool(confirmed_by) and min(confirmed_by.values()) > 0
        study[term] = {
            "kinds": {kind: row._asdict() for kind, row in summary.items()},
            "worst": worst,
            "worst_between": [group[pair[0]].name, group[pair[1]].name, theta],
            "excess": confirmed_by,
            "confirmed": confirmed,
            "verdict": convexity.verdict(int(confirmed)),
        }
    return study


def curvature_study(
    loss_fn: LossFunction,
    data: TransferData,
    places: Mapping[str, np.ndarray],
    terms: Sequence[str] = TERMS,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Ends of the Hessian's spectrum: {term: {place: figures}}.

    Args:
      loss_fn: from ``nstjax.losses.objective.loss_function``.
      data: what it takes beside the image.
      places: {name: image}.
      terms: which terms. Of the content loss the automatic Hessian is Gauss-Newton's,
        which cannot be negative.
      **options: of ``nstjax.analysis.convexity.curvature.extreme_eigenvalues``.
    """
    study: dict[str, dict[str, Any]] = {}
    for term in terms:
        # One object and its arrays as arguments: compiled once for all places.
        loss = jax.tree_util.Partial(functools.partial(term_loss, loss_fn, term), data)
        for place, image in places.items():
            ends = extreme_eigenvalues(loss, np.float32(image), **options)
            study.setdefault(term, {})[place] = {
                "smallest": ends.smallest,
                "smallest_residual": ends.smallest_residual,
                "largest": ends.largest,
                "largest_residual": ends.largest_residual,
                "negative": negative(ends),
            }
    return study


def check_places(names: Sequence[str]) -> None:
    """Raise ``InputError`` for a name that ``places`` does not know."""
    for name in names:
        if name not in PLACES:
            raise InputError(f"no image {name!r}: known are {', '.join(PLACES)}")


def places(group: Sequence[Member], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The images at which the curvature is looked at: {name: image}.

    Args:
      group: from ``members``.
      names: "content", "style", "noise", "result" or "middle", the iterate in the
        middle of the run.

    Raises:
      InputError: an unknown name.
    """
    check_places(names)
    iterates = [member.image for member in group if member.kind == "iterate"]
    known = {member.kind: member.image for member in reversed(group)}
    known |= {"middle": iterates[len(iterates) // 2], "result": iterates[-1]}
    return {name: known[name] for name in names}


def _worst_triple(
    surface: Surface,
    test: convexity.LatticeTest,
    term: str,
    single: Terms,
    double: Terms,
) -> dict[str, float]:
    """How far the middle of the worst three nodes lies above its chord, twice."""
    assert surface.plane is not None
    assert test.worst_at is not None and test.direction is not None
    (i, j), (di, dj) = test.worst_at, test.direction
    nodes = ((i - di, j - dj), (i + di, j + dj), (i, j))
    images = np.stack(
        [
            point(surface.plane, surface.s[row], surface.t[column])
            for row, column in nodes
        ]
    )
    return {
        "float32": _excess(single(images)[term], 0.5),
        "float64": _excess(double(images)[term], 0.5),
    }


def _excess(values: np.ndarray, theta: float) -> float:
    first, second, between = values
    return float(between - theta * first - (1 - theta) * second)


def _between(
    group: Sequence[Member], pair: tuple[int, int], theta: float
) -> np.ndarray:
    first, second = (group[index].image for index in pair)
    return theta * first + (1 - theta) * second


def _points(group: Sequence[Member], pair: tuple[int, int]) -> np.ndarray:
    return np.stack([_between(group, pair, theta) for theta in THETAS])


def _normal(random: np.random.Generator, like: np.ndarray) -> np.ndarray:
    return random.standard_normal(like.shape, np.float32)
