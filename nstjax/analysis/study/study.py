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
from nstjax.analysis.study.loss_terms import BATCH, TERMS, Evaluators
from nstjax.analysis.surfaces.geometry import point
from nstjax.analysis.surfaces.surface import Surface, term_loss, total
from nstjax.errors import InputError
from nstjax.losses.objective import LossFunction, TransferData

THETAS = (0.25, 0.5, 0.75)
# A shift by the stride of the deepest style layer leaves the Gram matrices as they were
# but for the border.
SHIFT = 16
PLACES = (
    "content", "style", "shifted style", "noise", "iterate", "middle", "result",
)  # fmt: skip
ENDS = ("smallest", "smallest_residual", "largest", "largest_residual")

Figures = dict[str, dict[str, Any]]  # {term: what was found}


class Member(NamedTuple):
    """An image that segments join, in the network's units, [height, width, 3]."""

    kind: str
    name: str
    image: np.ndarray


def surface_study(surface: Surface, evaluators: Evaluators) -> Figures:
    """Lattice midpoint test and envelope gap of every term, at the run's own weights.

    ``fraction`` of the nodes that violate a midpoint inequality, ``worst`` second
    difference and envelope ``gap`` as shares of the range.
    """
    values, plane = surface.values, surface.plane
    assert plane is not None
    weighted = total(surface, **surface.weights)
    grids = {"total": weighted, "content": values.content, "style": values.style}
    study = {}
    for term, grid in grids.items():
        tolerance = convexity.tolerances(grid, evaluators.epsilon[term])
        test = convexity.lattice_midpoint_test(grid, tolerance)
        images = []
        if test.worst_at and test.direction:
            (i, j), (di, dj) = test.worst_at, test.direction
            nodes = ((i - di, j - dj), (i + di, j + dj), (i, j))
            images = [point(plane, surface.s[i], surface.t[j]) for i, j in nodes]
        study[term] = {
            "fraction": test.fraction,
            "worst": test.worst,
            "gap": convexity.convex_envelope_gap(surface.s, surface.t, grid),
            **_confirmation(evaluators, term, images, 0.5),
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

    def noise() -> np.ndarray:
        return mean + contrast * random.standard_normal(content.shape, np.float32)

    group = [Member("content", "content", content), Member("style", "style", style)]
    for by in ((SHIFT, 0), (0, SHIFT), (SHIFT, SHIFT)):
        shifted = np.roll(style, by, axes)
        group.append(Member("shifted style", f"style shifted {by}", shifted))
    group += [Member("noise", f"noise {i}", noise()) for i in range(4)]
    for step, image in snapshots.items():
        if step and not np.array_equal(image, result):
            group.append(Member("iterate", f"iterate {step}", image))
    return [*group, Member("iterate", "result", result)]


def segment_study(
    group: Sequence[Member], evaluators: Evaluators, most: int = 256, seed: int = 0
) -> Figures:
    """f(θa + (1-θ)b) ≤ θ f(a) + (1-θ) f(b) on the segments between images.

    By kind of segment how many ``segments``, ``violations`` and their Wilson 95 %
    interval; over all of them ``worst``, the largest excess as a share of the chord's
    value, and between which images. Of more pairs, so many are chosen at random.
    """
    pairs = list(itertools.combinations(range(len(group)), 2))
    if len(pairs) > most:
        chosen = np.random.default_rng(seed).choice(len(pairs), most, replace=False)
        pairs = [pairs[i] for i in sorted(chosen)]
    kinds = [" – ".join(sorted({group[i].kind, group[j].kind})) for i, j in pairs]
    images, thetas = np.stack([member.image for member in group]), np.array(THETAS)

    def between(pair: tuple[int, int], theta: float) -> np.ndarray:
        return theta * images[pair[0]] + (1 - theta) * images[pair[1]]

    ends = evaluators.batches(images)
    # Whole batches, and not all points at once: they would be hundreds of images.
    parts = (pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH))
    points = (itertools.starmap(between, itertools.product(x, THETAS)) for x in parts)
    inner = [evaluators.batches(np.stack(list(part))) for part in points]
    study = {}
    for term in TERMS:
        f_a, f_b = (ends[term][[pair[end] for pair in pairs]] for end in (0, 1))
        f_mid = np.concatenate([values[term] for values in inner])
        f_mid = f_mid.reshape(len(pairs), len(THETAS))
        values = np.column_stack([f_a, f_b, f_mid])
        tau = convexity.tolerances(values, evaluators.epsilon[term], axis=1)
        excess, above = convexity.segment_violations(f_a, f_b, f_mid, THETAS, tau)
        summary = convexity.summarize_segments(excess, kinds, tau)
        shares = excess / (np.outer(f_a, thetas) + np.outer(f_b, 1 - thetas))
        # Where both ends are nearly 0, a share may be large and still be rounding.
        counted = np.where(above, shares, -np.inf) if above.any() else shares
        place = np.unravel_index(np.argmax(counted), shares.shape)
        pair, theta = pairs[place[0]], THETAS[place[1]]
        worst = [images[pair[0]], images[pair[1]], between(pair, theta)]
        study[term] = {
            "kinds": {kind: row._asdict() for kind, row in summary.items()},
            "worst": float(shares[place]),
            "worst_between": [group[pair[0]].name, group[pair[1]].name, theta],
            **_confirmation(evaluators, term, worst if above.any() else [], theta),
        }
    return study


def curvature_study(
    loss_fn: LossFunction,
    data: TransferData,
    places: Mapping[str, np.ndarray],
    terms: Sequence[str] = TERMS,
    **options: Any,
) -> Figures:
    """Ends of the Hessian's spectrum at some images: {term: {place: figures}}.

    Of the content loss the automatic Hessian is Gauss-Newton's, which cannot be
    negative. The options are those of ``extreme_eigenvalues``.
    """
    study: Figures = {}
    for term in terms:
        # One object and its arrays as arguments: compiled once for all places.
        loss = jax.tree_util.Partial(functools.partial(term_loss, loss_fn, term), data)
        for place, image in places.items():
            ends = extreme_eigenvalues(loss, np.float32(image), **options)
            figures = {name: getattr(ends, name) for name in ENDS}
            study.setdefault(term, {})[place] = {**figures, "negative": negative(ends)}
    return study


def check_places(names: Sequence[str]) -> None:
    """Raise ``InputError`` for a name that ``places`` does not know."""
    for name in names:
        if name not in PLACES:
            raise InputError(f"no image {name!r}: known are {', '.join(PLACES)}")


def places(group: Sequence[Member], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The images of these names, at which the curvature is looked at.

    "middle" is the iterate in the middle of the run.
    """
    check_places(names)
    iterates = [member.image for member in group if member.kind == "iterate"]
    known = {member.kind: member.image for member in reversed(group)}
    known |= {"middle": iterates[len(iterates) // 2], "result": iterates[-1]}
    return {name: known[name] for name in names}


def _confirmation(
    evaluators: Evaluators, term: str, images: Sequence[np.ndarray], theta: float
) -> dict[str, Any]:
    """How far the third image lies above the other two's chord, and what that says.

    Where both precisions see it above, the loss is refuted; it is never called convex.
    """
    excess = {}
    if images:
        again = {"float32": evaluators.one_by_one, "float64": evaluators.double}
        for name, evaluate in again.items():
            f_a, f_b, f_mid = evaluate(np.stack(images))[term]
            excess[name] = float(f_mid - theta * f_a - (1 - theta) * f_b)
    confirmed = bool(excess) and min(excess.values()) > 0
    verdict = "refuted" if confirmed else "not refuted on the tested set"
    return {"excess": excess, "confirmed": confirmed, "verdict": verdict}
