"""Loss surfaces: the unweighted losses on a plane through image space.

    x(s, t) = x₀ + r (s u + t v)

with u and v orthonormal directions in image space and r = ‖x₀ - mean(x₀)‖₂, so that one
unit changes the image by as much as its own contrast. Nothing is cut to 0..255.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.errors import InputError
from nstjax.losses.objective import LossFunction, TransferData, loss_function
from nstjax.losses.terms import LossTerms
from nstjax.losses.total import LossOptions
from nstjax.network.vgg import MEAN_RGB

# ((x₀, u, v, r), s [n], t [n], data) -> (unweighted terms, share out of gamut), of [n].
Evaluator = Callable[..., tuple[LossTerms, Array]]

# With VGG-19, a batch of images takes about 2 kB per pixel.
CPU_PIXELS = 4 * 256**2
ACCELERATOR_PIXELS = 32 * 256**2
# In 8-bit levels: black and white that were rounded are not out of gamut.
GAMUT_TOLERANCE = 0.01


class Plane(NamedTuple):
    """A plane through image space, or a line, in the network's units.

    x₀, u and v are [height, width, 3]; of a line, v is 0. ``details`` are what else is
    to be known, such as seed, raw_cosine or eigenvalues: plain numbers, lists and text.
    """

    kind: str
    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    unit_length: float
    labels: tuple[str, str]
    details: dict[str, Any]


class Marks(NamedTuple):
    """k images that are shown on the plane, by their orthogonal projection.

    Names such as "content", or the step of a trajectory; (s, t) float64 [k, 2];
    distance from the plane in units of r, [k]; unweighted content, style and tv of the
    image itself, [k, 3].
    """

    names: tuple[str, ...]
    coordinates: np.ndarray
    residuals: np.ndarray
    losses: np.ndarray


NO_MARKS = Marks((), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3)))


class SurfaceValues(NamedTuple):
    """Unweighted losses on the grid, float64 [nu, nv]; NaN where not known yet.

    Σ_l w_l C_l, Σ_l w_l E_l, total variation, {layer: E_l} and the share of values
    outside 0..255; index i along s, j along t.
    """

    content: np.ndarray
    style: np.ndarray
    tv: np.ndarray
    style_layers: dict[str, np.ndarray]
    out_of_gamut: np.ndarray


class Surface(NamedTuple):
    """A surface as its file holds it; without a plane, final losses over two settings.

    s [nu] and t [nv], [0] for a line, are coordinates along u and v, with labels that
    say their units; ``done`` is bool [nu, nv]. Marked images, and {run: its snapshots};
    the run's own "alpha", "beta" and "tv"; ``about`` is where it comes from, as plain
    JSON data: hashes, versions, layers.
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


def total(surface: Surface, alpha: float, beta: float, tv: float) -> np.ndarray:
    """The weighted loss α content + β style + tv TV, [nu, nv]; NaN where not known."""
    for name, weight in {"alpha": alpha, "beta": beta, "tv": tv}.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"{name} is {weight}: give a number from 0 on")
    values = surface.values
    # Far out a loss overflows; 0 times infinity is not known.
    with np.errstate(invalid="ignore"):
        return alpha * values.content + beta * values.style + tv * values.tv


def true_loss(options: LossOptions) -> LossFunction:
    """The loss of a run, with the true gradient where the run's is normalized."""
    return loss_function(dataclasses.replace(options, normalize_gradients=False))


def term_loss(
    loss_fn: LossFunction, term: str, data: TransferData, image: Array
) -> Array:
    """The "total", "content" or "style" loss at an image, to be differentiated."""
    loss, parts = loss_fn(image, jnp.int32(0), *data)
    return {"total": loss, "content": parts.content, "style": parts.style}[term]


def make_evaluator(loss_fn: LossFunction) -> Evaluator:
    """Compile the evaluation of a plane's points, of n at once.

    The points are made inside, at the highest matrix precision; nothing is compiled in
    but the shapes, so that one compilation serves every plane and every run of a size.
    The loss is asked about step 0 alone, where the sampled style losses draw the same
    samples for every point.
    """

    def losses_at(
        plane: tuple, s: Array, t: Array, data: tuple
    ) -> tuple[LossTerms, Array]:
        origin, u, v, unit_length = plane
        image = origin + unit_length * (s * u + t * v)
        with jax.default_matmul_precision("highest"):
            _, terms = loss_fn(image, jnp.zeros((), jnp.int32), *data)
        from_middle = jnp.abs(image + MEAN_RGB[None, None, :] - 127.5)
        return terms, (from_middle > 127.5 + GAMUT_TOLERANCE).mean()

    return jax.jit(jax.vmap(losses_at, in_axes=(None, 0, 0, None)))


def image_losses(
    evaluator: Evaluator, images: Sequence[np.ndarray], data: tuple
) -> np.ndarray:
    """Unweighted content, style and tv of images of one size, float64 [k, 3]."""
    losses = np.zeros((len(images), 3))
    nowhere = np.zeros(1, np.float32)
    for row, image in zip(losses, images, strict=True):
        still = np.zeros_like(image)
        terms, _ = evaluator((image, still, still, 0.0), nowhere, nowhere, data)
        row[:] = terms.content[0], terms.style[0], terms.tv[0]
    return losses


def unknown_values(shape: tuple[int, int], layers: Sequence[str]) -> SurfaceValues:
    """Values [nu, nv] of which none is known yet, with layers of the style loss."""
    content, style, tv, gamut, *rest = np.full((4 + len(layers), *shape), np.nan)
    by_layer = dict(zip(layers, rest, strict=True))
    return SurfaceValues(content, style, tv, by_layer, gamut)


def default_batch(height: int, width: int) -> int:
    """How many images to evaluate at once.

    4 of 256×256 on CPU, where larger batches are no faster, and 32 elsewhere, where
    VGG-19 takes about 4 GB for them; at most 256.
    """
    on_cpu = jax.default_backend() == "cpu"
    pixels = CPU_PIXELS if on_cpu else ACCELERATOR_PIXELS
    return min(256, max(1, pixels // (height * width)))


def fill(
    surface: Surface, evaluator: Evaluator, data: tuple, batch: int
) -> Iterator[Surface]:
    """Evaluate the nodes that are not done, so many at once.

    With the same batch, a surface that is filled in several goes gets the same bits as
    one that is filled at once: the last batch repeats its last node. What is yielded
    after each batch is valid until the next one.
    """
    plane = surface.plane
    assert plane is not None
    done = surface.done.copy()
    values = copy.deepcopy(surface.values)
    at = (*map(jnp.asarray, (plane.origin, plane.u, plane.v)), plane.unit_length)
    batch = min(batch, done.size)
    left = np.flatnonzero(~done)
    for first in range(0, len(left), batch):
        nodes = left[first : first + batch]
        padded = np.pad(nodes, (0, batch - len(nodes)), mode="edge")
        i, j = np.unravel_index(padded, done.shape)
        s, t = np.float32(surface.s[i]), np.float32(surface.t[j])
        terms, out_of_gamut = jax.device_get(evaluator(at, s, t, data))
        found = SurfaceValues(
            terms.content, terms.style, terms.tv, terms.style_layers, out_of_gamut
        )
        i, j = i[: len(nodes)], j[: len(nodes)]
        grids, losses = jax.tree.leaves(values), jax.tree.leaves(found)
        for grid, batch_losses in zip(grids, losses, strict=True):
            grid[i, j] = batch_losses[: len(nodes)]
        done[i, j] = True
        yield surface._replace(values=values, done=done)
